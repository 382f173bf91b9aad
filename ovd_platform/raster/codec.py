"""Tiles as bytes and back: JPEG XL for integers of up to 16 bits, shuffled zstd for everything else.

Belongs here: encoding one array. Does not belong here: which tile gets which codec (archive), files (archive, `archived`).

Facts that shaped it: JPEG XL must be told the bits that carry signal or a lossy 12-bit picture in a 16-bit container loses
several dB; extra channels are coded by other rules than colour, so lossy bands are separate grey frames; a lossless stream
declares at least the bits its values need, because a declared depth is a promise the codec does not check.
"""

import struct
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ovd_platform.errors import InputError, UnreadableRasterError

Codec = Literal["jxl-lossless", "jxl-lossy", "blosc2-zstd", "constant"]

_JXL_DTYPES = ("uint8", "uint16")


def supports_jxl(dtype: np.dtype[Any] | str) -> bool:
    """Whether values of a dtype go through JPEG XL unchanged."""
    return np.dtype(dtype).name in _JXL_DTYPES


def lossless_codec(dtype: np.dtype[Any] | str) -> Codec:
    """The exact codec of a dtype: JPEG XL for 8 and 16 bit unsigned, shuffled zstd for floats, complex and the rest."""
    return "jxl-lossless" if supports_jxl(dtype) else "blosc2-zstd"


def bits_needed(pixels_chw: NDArray[Any]) -> int:
    """Bits the largest value of an unsigned array needs; at least 1."""
    return max(1, int(pixels_chw.max()).bit_length())


def encode(pixels_chw: NDArray[Any], codec: Codec, *, bits: int | None = None, distance: float = 1.0, effort: int = 1) -> bytes:
    """Encode an array.

    Args:
        pixels_chw: Source values, shape (C, H, W).
        codec: How.
        bits: Bits that carry signal (JPEG XL); raised to what the values need, by default the width of the dtype.
        distance: JPEG XL distance of the lossy codec; about 1 is visually lossless.
        effort: JPEG XL effort, 1 (fast) to 9; does not affect what is decoded from a lossless stream.

    Returns:
        Bytes `decode` understands together with codec, dtype and shape.

    Raises:
        InputError: If the codec cannot hold the dtype, or a constant is asked for pixels that are not.
    """
    if codec == "constant":
        first_c = pixels_chw[:, :1, :1]
        if not same_bytes(np.broadcast_to(first_c, pixels_chw.shape), pixels_chw):
            raise InputError("Cannot encode as constant: expected one value a band, got several. Use another codec.")
        return _little(first_c).tobytes()
    if codec == "blosc2-zstd":
        return _encode_blosc(pixels_chw)
    if not supports_jxl(pixels_chw.dtype):
        raise InputError(f"Cannot encode {pixels_chw.dtype} as {codec}: expected uint8 or uint16. Use blosc2-zstd.")
    depth = max(bits or pixels_chw.dtype.itemsize * 8, bits_needed(pixels_chw))
    frames = _frames(pixels_chw, codec == "jxl-lossless", depth)
    streams = [_encode_jxl(frame, codec == "jxl-lossless", depth, distance, effort) for frame in frames]
    lengths = [len(stream) for stream in streams]
    return struct.pack(f"<B{len(lengths)}I", len(lengths), *lengths) + b"".join(streams)


def decode(payload: bytes, codec: Codec, dtype: np.dtype[Any] | str, shape: tuple[int, int, int]) -> NDArray[Any]:
    """Inverse of `encode`.

    Args:
        payload: Bytes from `encode`.
        codec: As encoded.
        dtype: Dtype of the source.
        shape: (C, H, W).

    Returns:
        New array of the shape and dtype.

    Raises:
        UnreadableRasterError: If the bytes do not decode to that shape.
    """
    target = np.dtype(dtype)
    try:
        if codec == "constant":
            values = np.frombuffer(payload, dtype=target.newbyteorder("<")).astype(target)
            return np.broadcast_to(values.reshape(shape[0], 1, 1), shape).copy()
        if codec == "blosc2-zstd":
            import imagecodecs

            raw = imagecodecs.blosc2_decode(payload, numthreads=1)
            return np.frombuffer(raw, dtype=target.newbyteorder("<")).astype(target).reshape(shape)
        pixels_chw = _decode_jxl_frames(payload)
    except (ValueError, RuntimeError, struct.error) as error:
        raise UnreadableRasterError(f"Cannot decode a {codec} tile: expected {shape} {target}, got {error}.") from error
    if pixels_chw.shape != shape or pixels_chw.dtype != target:
        raise UnreadableRasterError(
            f"Cannot decode a {codec} tile: expected {shape} {target}, got {pixels_chw.shape} {pixels_chw.dtype}."
        )
    return pixels_chw


def _little(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


def same_bytes(left: NDArray[Any], right: NDArray[Any]) -> bool:
    """Equal bit for bit, so that NaN equals itself."""
    return left.shape == right.shape and left.dtype == right.dtype and _little(left).tobytes() == _little(right).tobytes()


def _frames(pixels_chw: NDArray[Any], lossless: bool, depth: int) -> list[NDArray[Any]]:
    """JPEG XL frames: bands together where the colour transform helps and does no harm, else one grey frame a band."""
    count = len(pixels_chw)
    together = count in (3, 4) if lossless else count == 3 and depth <= 8
    if together:
        return [np.ascontiguousarray(np.moveaxis(pixels_chw, 0, -1))]
    return [np.ascontiguousarray(band_hw) for band_hw in pixels_chw]


def _encode_jxl(frame: NDArray[Any], lossless: bool, depth: int, distance: float, effort: int) -> bytes:
    import imagecodecs

    if lossless:
        return bytes(imagecodecs.jpegxl_encode(frame, effort=effort, lossless=True, bitspersample=depth, numthreads=1))
    return bytes(imagecodecs.jpegxl_encode(frame, effort=effort, distance=distance, bitspersample=depth, numthreads=1))


def _decode_jxl_frames(payload: bytes) -> NDArray[Any]:
    import imagecodecs

    count = payload[0]
    lengths = struct.unpack_from(f"<{count}I", payload, 1)
    position = 1 + 4 * count
    bands: list[NDArray[Any]] = []
    for length in lengths:
        frame = imagecodecs.jpegxl_decode(payload[position : position + length], numthreads=1)
        position += length
        bands.append(np.moveaxis(frame, -1, 0) if frame.ndim == 3 else frame[None])
    return np.ascontiguousarray(np.concatenate(bands))


def _encode_blosc(pixels_chw: NDArray[Any]) -> bytes:
    import imagecodecs

    # Complex values are shuffled by component, which is what compresses.
    width = pixels_chw.dtype.itemsize // (2 if pixels_chw.dtype.kind == "c" else 1)
    raw = _little(pixels_chw).tobytes()
    return bytes(imagecodecs.blosc2_encode(raw, level=5, compressor="zstd", shuffle="shuffle", typesize=width, numthreads=1))

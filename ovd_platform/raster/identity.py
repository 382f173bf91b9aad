"""Names and versions of scenes. Belongs here: slugs and content hashes; what a scene is like is metadata's."""

import hashlib
import html
import json
import os
import re
import stat
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

from ovd_platform.errors import (
    DamagedRasterError,
    InputError,
    NotARasterError,
    UnreachableRasterError,
    UnreadableRasterError,
)

HashMode = Literal["sha256", "sampled"]

MAX_SLUG = 63
_BLOCK_BYTES = 1 << 20
_VRT_BYTES = 64 << 20
_SAMPLES = 16
_SIDE_SUFFIXES = (".ovd.json", ".RPB", ".rpb", "_RPC.TXT", "_rpc.txt", ".tfw", ".jgw", ".pgw", ".wld")
_SIDE_ENDINGS = (".aux.xml", ".msk")


def member_paths(uri: str) -> list[str]:
    """The files of a uri: one, or the members of a band stack joined by ``|``.

    Raises:
        InputError: If the uri or one of its members is empty.
    """
    members = uri.split("|")
    if not all(members):
        raise InputError(f"Cannot read scene {uri!r}: expected a path, or paths joined by '|', got an empty one.")
    return members


def is_local(path: str) -> bool:
    """Whether a path is an ordinary file-system path (not /vsi and not a URL)."""
    return not path.startswith("/vsi") and "://" not in path


_STORES = {"http": "/vsicurl/http://", "https": "/vsicurl/https://", "s3": "/vsis3/", "gs": "/vsigs/", "az": "/vsiaz/"}

_ROOTS = ("/vsicurl/", "/vsis3/", "/vsigs/", "/vsiaz/")


def gdal_path(path: str) -> str:
    """A path as GDAL opens it: URLs of web servers and object stores become /vsi paths, everything else stays."""
    scheme, separator, rest = path.partition("://")
    return f"{_STORES[scheme]}{rest}" if separator and scheme in _STORES else path


def _stem(uri: str) -> str:
    members = member_paths(uri)
    first = Path(members[0])
    return first.parent.name if len(members) > 1 and first.parent.name else first.stem


def scene_slug(uri: str, taken: Collection[str] = ()) -> str:
    """Scene id of a uri: slug of the file stem (of the folder for a band stack).

    Args:
        uri: Path, /vsi path, or band stack.
        taken: Ids already in use; a clash gets a suffix made from the uri.

    Returns:
        ``[a-zA-Z0-9_.-]``, at most 63 characters, safe as a Dagster partition key. The same uri always gets the same slug for
        the same ``taken``.
    """
    slug = re.sub(r"[^a-zA-Z0-9_.-]+", "-", _stem(uri))
    slug = re.sub(r"\.{2,}", ".", slug).strip("-.")
    digest = hashlib.sha256(uri.encode()).hexdigest()
    if not slug:
        slug = f"scene-{digest[:8]}"
    if len(slug) > MAX_SLUG:
        slug = f"{slug[: MAX_SLUG - 9]}-{digest[:8]}"
    if slug in taken:
        slug = f"{slug[: MAX_SLUG - 9]}-{digest[:8]}"
    return slug


def check_files(uri: str) -> None:
    """Refuse what is no ordinary readable file before anything opens it: a pipe would be waited for, a device never ends.

    Args:
        uri: Path, /vsi path, URL, or band stack; only local members are looked at.

    Raises:
        NotARasterError: If a member is a folder, pipe, socket or device.
        DamagedRasterError: If one is empty.
        UnreadableRasterError: If one is missing, may not be read, or has a ``|`` in its name.
    """
    if "|" in uri and is_local(uri) and os.path.lexists(uri):
        raise UnreadableRasterError(f"Cannot open {uri}: expected a name without '|', which joins bands. Rename the file.")
    for path in filter(is_local, member_paths(uri)):
        try:
            facts = Path(path).stat()
        except OSError as error:
            raise UnreadableRasterError(
                f"Cannot open {path}: expected a file, got {error.strerror or error}. Check the path."
            ) from error
        if not stat.S_ISREG(facts.st_mode):
            kind = "a folder" if stat.S_ISDIR(facts.st_mode) else "a pipe, socket or device"
            raise NotARasterError(f"Cannot open {path}: expected a file, got {kind}. Leave it out.")
        if not facts.st_size:
            raise DamagedRasterError(f"Cannot open {path}: expected a whole raster, got an empty file. Copy it again.")
        if not os.access(path, os.R_OK):
            raise UnreadableRasterError(
                f"Cannot open {path}: expected permission to read it, got none. Give it to the user who runs the platform."
            )


_SOURCE = re.compile(r"<Source(?:Filename|Dataset)\b([^>]*)>([^<]+)</Source")


def source_files(path: str) -> list[Path]:
    """Local files a virtual raster (``.vrt``) is made of, those of virtual rasters among them too; sorted, without the raster itself."""
    found: set[Path] = set()
    open_ends = [Path(path)] if is_local(path) else []
    while open_ends:
        file = open_ends.pop()
        if file.suffix.lower() != ".vrt" or not file.is_file() or file.stat().st_size > _VRT_BYTES:
            continue
        for attributes, name in _SOURCE.findall(file.read_text(encoding="utf-8", errors="replace")):
            text = html.unescape(name).strip()
            # A relative name without the mark starts at the working directory, as GDAL has it.
            source = file.parent / text if re.search(r"relativeToVRT\s*=\s*[\"']1", attributes, re.IGNORECASE) else Path(text)
            if is_local(text) and source not in found and source != Path(path) and source.is_file():
                found.add(source)
                open_ends.append(source)
    return sorted(found)


def side_files(path: str) -> list[Path]:
    """Existing files beside a local raster that change how it is read, sorted by name."""
    if not is_local(path):
        return []
    from ovd_platform.raster.sidecars import sidecars_of

    file = Path(path)
    candidates = [file.with_name(file.stem + suffix) for suffix in _SIDE_SUFFIXES]
    candidates += [file.with_name(file.name + ending) for ending in _SIDE_ENDINGS]
    candidates.append(file.parent / f"{file.parent.name}.ovd.json")
    candidates += [sidecar.path for sidecar in sidecars_of(path)]
    return sorted({candidate for candidate in candidates if candidate.is_file()})


def _hash_whole(path: Path, digest: "hashlib._Hash") -> None:
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)


def _hash_sampled(path: Path, digest: "hashlib._Hash") -> None:
    status = path.stat()
    digest.update(f"{status.st_size}:{status.st_mtime_ns}".encode())
    span = max(0, status.st_size - _BLOCK_BYTES // 16)
    with path.open("rb") as stream:
        for index in range(_SAMPLES):
            stream.seek(span * index // (_SAMPLES - 1))
            digest.update(stream.read(_BLOCK_BYTES // 16))


def _hash_remote(path: str, digest: "hashlib._Hash") -> None:
    """A path only GDAL can read: its description and sampled pixels stand for its bytes."""
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.windows import Window as RasterioWindow

    try:
        # What a store said before, a missing file too, must not be remembered: versions are made to notice change.
        with rasterio.Env(CPL_VSIL_CURL_NON_CACHED=":".join(_ROOTS)), rasterio.open(gdal_path(path)) as dataset:
            described = [dataset.width, dataset.height, list(dataset.dtypes), dataset.tags()]
            digest.update(json.dumps(described, sort_keys=True).encode())
            for index in range(_SAMPLES):
                col = (dataset.width - 1) * index // (_SAMPLES - 1)
                row = (dataset.height - 1) * index // (_SAMPLES - 1)
                window = RasterioWindow(col, row, min(64, dataset.width - col), min(64, dataset.height - row))
                digest.update(dataset.read(window=window).tobytes())
    except RasterioError as error:
        kind = UnreachableRasterError if is_unreachable(str(error)) else UnreadableRasterError
        raise kind(f"Cannot hash {path}: expected a readable raster, got {error}. Check address and permission.") from error


def is_unreachable(reason: str) -> bool:
    """Whether GDAL's words say that a server or store, not the file, is at fault."""
    return any(mark in reason for mark in ("HTTP response code", "CURL error", "credentials", "AWS_", "AccessDenied", "NoSuch"))


def scene_version(uri: str, mode: HashMode = "sha256", generation: int = 0) -> str:
    """Content version of a scene.

    Args:
        uri: Path, /vsi path, or band stack.
        mode: ``sha256`` reads every byte; ``sampled`` takes size, modification time and 16 blocks (for very large files). Paths
            only GDAL can read are always sampled through their pixels.
        generation: Ingest generation; raising it makes a new version of the same bytes.

    Returns:
        ``h`` (whole) or ``s`` (sampled), 16 hex digits of the hash of files, side files and the sources of a virtual raster, ``-g``
        and the generation.

    Raises:
        InputError: If the mode is unknown.
        UnreadableRasterError: If a file is missing or unreadable.
    """
    if mode not in ("sha256", "sampled"):
        raise InputError(f"Cannot version {uri}: expected mode sha256 or sampled, got {mode!r}.")
    check_files(uri)
    digest = hashlib.sha256()
    prefix = "h" if mode == "sha256" else "s"
    for member in member_paths(uri):
        if not is_local(member):
            prefix = "s"
            _hash_remote(member, digest)
            continue
        try:
            for file in (Path(member), *source_files(member)):
                (_hash_whole if mode == "sha256" else _hash_sampled)(file, digest)
            for side in side_files(member):
                digest.update(side.name.encode())
                _hash_whole(side, digest)
        except OSError as error:
            raise UnreadableRasterError(f"Cannot hash {member}: expected a file, got {error}. Check the path.") from error
    return f"{prefix}{digest.hexdigest()[:16]}-g{generation}"


def unique_slugs(uris: Sequence[str]) -> dict[str, str]:
    """Scene ids of many uris, in sorted order of the uris so that the answer does not depend on how they were listed.

    Returns:
        uri -> scene id, every id distinct.
    """
    slugs: dict[str, str] = {}
    for uri in sorted(set(uris)):
        slugs[uri] = scene_slug(uri, set(slugs.values()))
    return slugs

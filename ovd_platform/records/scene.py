"""What is known of one acquisition before a pixel is read. Belongs here: the record; reading it from files is raster's."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

from ovd_platform.errors import InputError
from ovd_platform.records.ground_control import GroundControl

Modality = Literal["optical", "sar"]
Georeference = Literal["affine", "gcp", "rpc", "none"]
MODALITIES: tuple[Modality, ...] = ("optical", "sar")


@dataclass(frozen=True, slots=True)
class Band:
    """One spectral or polarimetric channel.

    Attributes:
        name: Short name as printed to people: ``pan``, ``red``, ``vv``.
        wavelength_um: Centre wavelength in micrometres; None for SAR and for bands nobody described.
        scale: Physical value = scale x source value + offset, as the file declares it; pixels are never rescaled on reading.
        offset: See ``scale``.
        unit: What the values already are: ``dB``, ``amplitude`` or ``phase`` for planes the platform computed; empty for source values.
    """

    name: str
    wavelength_um: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """Acquisition geometry and time; every field is None where the metadata are silent.

    Attributes:
        acquired_utc: Time of acquisition, ISO 8601 with zone.
        sun_azimuth_deg: Clockwise from north, [0, 360).
        sun_elevation_deg: Above the horizon, [-90, 90].
        off_nadir_deg: View angle at the satellite, [0, 90).
        view_azimuth_deg: Clockwise from north.
        incidence_deg: SAR incidence angle, [0, 90).
        look: SAR look direction.
        orbit: Orbit direction.
        platform: Spacecraft or aircraft, lower case: ``sentinel-1a``, ``pleiades-1b``.
        cloud_fraction: Cloud cover as the producer states it, [0, 1].
    """

    acquired_utc: str | None = None
    sun_azimuth_deg: float | None = None
    sun_elevation_deg: float | None = None
    off_nadir_deg: float | None = None
    view_azimuth_deg: float | None = None
    incidence_deg: float | None = None
    look: Literal["left", "right"] | None = None
    orbit: Literal["ascending", "descending"] | None = None
    platform: str | None = None
    cloud_fraction: float | None = None


@dataclass(frozen=True, slots=True)
class SceneRecord:
    """One acquisition: the partition of the asset graph.

    Attributes:
        scene_id: Slug, also the Dagster partition key: ``[a-zA-Z0-9_.-]``, at most 63 characters.
        uri: Where the pixels are (path or GDAL /vsi path); a band stack joins its files with ``|``.
        version: Content hash of the source, with the ingest generation.
        modality: Optical or SAR; the two never mix in tables or models.
        instrument: Id of what measured it: ``pan-1x12``; one normalisation profile each.
        width_px: Columns.
        height_px: Rows.
        bands: One entry a band, in array order.
        dtype: NumPy dtype of the source pixels, for example ``uint16`` or ``complex64``.
        bits_effective: Bits that carry signal (12 in a uint16 container); None for float and complex.
        bits_declared: Whether somebody stated these bits (tag, sidecar, user); False where they are the container's width and
            the tiling pass decides (`SceneScan.bits_observed`).
        nodata: Value that marks missing pixels, or None.
        gsd_m: Ground sample distance in metres, or None without georeference.
        georeference: Kind of georeference.
        crs: Authority string or WKT of the CRS; None if there is none.
        transform: Affine pixel -> CRS as (a, b, c, d, e, f): x = a col + b row + c, y = d col + e row + f; None if there is none.
            For GCP and RPC scenes only an approximation to look at; places come from ``ground_control``.
        ground_control: Ground control points and RPC as the original states them; None without any.
        position_error_m: Estimated error of a pixel's place on the ground, 1 sigma in metres, beyond what the producer's affine
            itself is worth: 0 for an affine, None without georeference or where it cannot be told.
        footprint_lonlat: Exterior ring, (lon, lat) in degrees (OGC:CRS84); empty without georeference.
        view: Acquisition geometry and time.
        rendered: True for scenes of the rendered world; every output made from them says so.
        block_px: Width and height of the blocks the pixels are stored in: a block is what one read decodes at least. None where
            pixels lie plain in the file.
    """

    scene_id: str
    uri: str
    version: str
    modality: Modality
    instrument: str
    width_px: int
    height_px: int
    bands: tuple[Band, ...]
    dtype: str
    bits_effective: int | None = None
    bits_declared: bool = False
    nodata: float | None = None
    gsd_m: float | None = None
    georeference: Georeference = "none"
    crs: str | None = None
    transform: tuple[float, float, float, float, float, float] | None = None
    ground_control: GroundControl | None = None
    position_error_m: float | None = None
    footprint_lonlat: tuple[tuple[float, float], ...] = ()
    view: View = field(default_factory=View)
    rendered: bool = False
    block_px: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise InputError(f"Cannot record scene {self.scene_id}: expected modality optical or sar, got {self.modality!r}.")
        if self.width_px <= 0 or self.height_px <= 0 or not self.bands:
            raise InputError(
                f"Cannot record scene {self.scene_id}: expected positive size and at least one band, got "
                f"{self.width_px} x {self.height_px} px and {len(self.bands)} bands."
            )

    @property
    def area_mpx(self) -> float:
        """Size in megapixels (10^6 px)."""
        return self.width_px * self.height_px / 1e6

    @property
    def acquired(self) -> datetime | None:
        """Time of acquisition as a datetime, or None."""
        return datetime.fromisoformat(self.view.acquired_utc) if self.view.acquired_utc else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready mapping; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        fields = dict(values)
        fields["bands"] = tuple(Band(**band) for band in fields["bands"])
        fields["view"] = View(**fields.get("view", {}))
        transform, control = fields.get("transform"), fields.get("ground_control")
        fields["ground_control"] = GroundControl.from_dict(control) if control else None
        fields["transform"] = tuple(transform) if transform else None
        block = fields.get("block_px")
        fields["block_px"] = tuple(block) if block else None
        fields["footprint_lonlat"] = tuple(tuple(point) for point in fields.get("footprint_lonlat", ()))
        return cls(**fields)

"""What ties pixels to the ground where no affine does. Belongs here: the record; the mathematics are geometry's."""

import math
from dataclasses import dataclass
from typing import Any, Self

from ovd_platform.errors import InputError

GroundPoint = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class RationalModel:
    """Rational polynomial coefficients (RPC00B, NGA STDI-0002 Appendix E), ground to image.

    Line and sample count from the centre of the first pixel; the platform's pixel coordinates are half a pixel larger.

    Attributes:
        offsets: Line, sample, latitude (degrees), longitude (degrees), height (metres above the ellipsoid).
        scales: Of the same five.
        line_num: 20 coefficients.
        line_den: 20 coefficients.
        samp_num: 20 coefficients.
        samp_den: 20 coefficients.
        error_m: Published error, 1 sigma in metres (bias and random part together); None where nothing is said.
    """

    offsets: tuple[float, float, float, float, float]
    scales: tuple[float, float, float, float, float]
    line_num: tuple[float, ...]
    line_den: tuple[float, ...]
    samp_num: tuple[float, ...]
    samp_den: tuple[float, ...]
    error_m: float | None = None

    def __post_init__(self) -> None:
        lengths = [len(values) for values in (self.line_num, self.line_den, self.samp_num, self.samp_den)]
        numbers = (*self.offsets, *self.scales, *self.line_num, *self.line_den, *self.samp_num, *self.samp_den)
        if lengths != [20] * 4 or not all(map(math.isfinite, numbers)) or 0.0 in self.scales:
            raise InputError(
                f"Cannot use an RPC: expected four times 20 finite coefficients and scales other than 0, got {lengths} and "
                f"{self.scales}. Correct the RPC file."
            )

    @property
    def height_m(self) -> float:
        """Height the model is centred on, metres above the ellipsoid."""
        return self.offsets[4]


@dataclass(frozen=True, slots=True)
class Terrain:
    """Heights under a scene, sampled from an elevation model when the scene was ingested.

    Attributes:
        west_deg: Longitude of the first column of samples.
        south_deg: Latitude of the first row of samples.
        step_lon_deg: Distance of columns.
        step_lat_deg: Distance of rows.
        heights_m: Rows from south to north, metres above the ellipsoid as far as the elevation model says so.
        source: Path of the elevation model.
    """

    west_deg: float
    south_deg: float
    step_lon_deg: float
    step_lat_deg: float
    heights_m: tuple[tuple[float, ...], ...]
    source: str = ""


@dataclass(frozen=True, slots=True)
class GroundControl:
    """Everything an original says about its place besides an affine; an archive keeps all of it.

    Attributes:
        points: Ground control points (col, row, x, y); pixel coordinates from the outer corner of the first pixel.
        points_crs: CRS of x and y (authority string or WKT); None without points.
        rational: RPC model, or None.
        height_m: Constant height to use with the RPC, metres above the ellipsoid; None for the model's own offset.
        terrain: Heights to use with the RPC instead, or None.
    """

    points: tuple[GroundPoint, ...] = ()
    points_crs: str | None = None
    rational: RationalModel | None = None
    height_m: float | None = None
    terrain: Terrain | None = None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """From the plain mapping `dataclasses.asdict` makes (lists allowed in place of tuples)."""
        rational, terrain = values.get("rational"), values.get("terrain")
        model: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in (rational or {}).items()}
        heights: dict[str, Any] = dict(terrain or {})
        if terrain:
            heights["heights_m"] = tuple(tuple(row) for row in terrain["heights_m"])
        return cls(
            points=tuple(tuple(point) for point in values.get("points", ())),
            points_crs=values.get("points_crs"),
            rational=RationalModel(**model) if rational else None,
            height_m=values.get("height_m"),
            terrain=Terrain(**heights) if terrain else None,
        )

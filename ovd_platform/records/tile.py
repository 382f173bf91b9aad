"""One cell of a scene's grid: geometry and screening facts, no pixels. Pixels are a chip."""

from dataclasses import dataclass

from ovd_platform.records.window import Window


@dataclass(frozen=True, slots=True)
class TileRecord:
    """A tile answers for its core and only looks at its halo.

    Attributes:
        tile_id: ``{scene_id}/{grid_version}/{row}/{col}``; reproducible.
        scene_id: The scene it belongs to.
        row: Row of the grid.
        col: Column of the grid.
        core: Pixels this tile answers for; the cores of a scene cover each pixel exactly once.
        halo_px: Margin it looks at beyond its core, on each side.
        footprint_lonlat: Ring of the core in (lon, lat) degrees; empty without georeference.
        geohash: Geohash of the core's centre, 9 characters; empty without georeference.
        valid_fraction: Valid pixels in the core, [0, 1].
        edge_density: Pixels of the core whose normalised gradient exceeds the screening threshold, [0, 1].
        brightness: Mean of the normalised core, [0, 1].
        kept: False if screening found nothing to look at.
        reason: Why it was not kept: ``nodata``, ``saturated``, ``cloud``, ``water``, ``blank``; empty when kept.
    """

    tile_id: str
    scene_id: str
    row: int
    col: int
    core: Window
    halo_px: int
    footprint_lonlat: tuple[tuple[float, float], ...]
    geohash: str
    valid_fraction: float
    edge_density: float
    brightness: float
    kept: bool
    reason: str = ""

    @property
    def look(self) -> Window:
        """Core and halo: what is read to process the tile (may reach outside the scene)."""
        return self.core.grown(self.halo_px)

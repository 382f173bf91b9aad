"""One rendered scene in memory: pixels, truth, metadata.

Belongs here: the assembly of place, objects and instrument; files are `world`'s.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ovd_platform.demo.optical import digitise, radiance
from ovd_platform.demo.plans import BASES, THEMES, build
from ovd_platform.demo.site import Site
from ovd_platform.demo.solids import Light, Placed, Points
from ovd_platform.demo.spectra import Instrument, instrument

SUPERSAMPLE = 2
Theme = Literal["port", "airfield", "coast", "town", "country", "industry"]
HELD_OUT_CLASS = "dome building"
_SMALLEST_PLAN_M = 480.0  # ports and airfields need room; a smaller scene is a window of such a plan
_SMALLEST_PX = 4.0  # what is shorter than this cannot be told from noise and is no truth


@dataclass(frozen=True, slots=True)
class TruthObject:
    """An object of the rendered world, exactly.

    Attributes:
        class_name: Its class.
        corners_scene_xy: Convex outline in scene pixels, cut where it leaves the scene; the axis-aligned box around it is
            tight.
        oriented_scene_xy: Oriented box along its heading, scene pixels, four corners, not cut.
        context: Surroundings in words.
        odd: True where they are unusual for the class.
        kind: Sub-type: "tanker".
        visible_fraction: Share of the box inside the scene, [0, 1].
        labelled: False for what no label file may hold.
    """

    class_name: str
    corners_scene_xy: tuple[tuple[float, float], ...]
    oriented_scene_xy: tuple[tuple[float, float], ...] = ()
    context: str = ""
    odd: bool = False
    kind: str = ""
    visible_fraction: float = 1.0
    labelled: bool = True

    @property
    def box_scene_xyxy(self) -> tuple[float, float, float, float]:
        """Axis-aligned box, scene pixels."""
        xs, ys = zip(*self.corners_scene_xy, strict=True)
        return (min(xs), min(ys), max(xs), max(ys))


@dataclass(frozen=True, slots=True)
class RenderedScene:
    """What `render_scene` returns; unpacks as (pixels, truth, meta).

    Attributes:
        pixels_chw: Native digital numbers, (C, H, W): uint16 (12 bits), uint8, or complex64.
        truth: Every object of a class.
        meta: Sidecar fields: modality, instrument, gsd_m, bands, view, bits_effective, rendered; and theme.
        site: The place, for tests and for a second look.
    """

    pixels_chw: NDArray[Any]
    truth: list[TruthObject]
    meta: dict[str, Any]
    site: Site = field(repr=False)

    def __iter__(self) -> Any:
        return iter((self.pixels_chw, self.truth, self.meta))


@dataclass(frozen=True, slots=True)
class SceneRecipe:
    """All that decides a scene.

    Attributes:
        place_seed: What does not move.
        visit_seed: What moves, the sun's date, noise.
        instrument: Id of `spectra.INSTRUMENTS`.
        size_px: Edge length.
        gsd_m: None for the instrument's own.
        theme: One of `plans.THEMES`; None draws one.
        domes: Dome buildings wanted.
        odd: Objects in unusual surroundings wanted.
        light: Sun or radar; None draws one.
        inventions: Invented structures wanted (`inventions`); only the starter weights' scenes have any.
    """

    place_seed: int
    visit_seed: int
    instrument: str
    size_px: int
    gsd_m: float | None = None
    theme: Theme | None = None
    domes: int = 0
    odd: int = 0
    light: Light | None = None
    inventions: int = 0


def render_scene(
    seed: int,
    instrument_name: str,
    size_px: int,
    *,
    gsd_m: float | None = None,
    theme: Theme | None = None,
    domes: int = 0,
    odd: int = 0,
) -> RenderedScene:
    """Render a square scene in memory; the same arguments give the same pixels.

    Args:
        seed: Decides place and visit.
        instrument_name: ``pan-1x12``, ``ms-4x12``, ``ms-8x12``, ``rgb-3x8``, ``sar-grd-2``, ``sar-slc-1``.
        size_px: Edge length in pixels.
        gsd_m: Ground sample distance; None for the instrument's own.
        theme: What the place is; None draws one from the seed.
        domes: Dome buildings to try to place; 0 keeps the class out.
        odd: Objects in unusual surroundings to try to place.

    Returns:
        Pixels (C, H, W), truth and metadata; unpacks as these three.

    Raises:
        InputError: If there is no such instrument.
    """
    return render(SceneRecipe(seed, seed, instrument_name, size_px, gsd_m, theme, domes, odd))


def draw_light(device: Instrument, rng: np.random.Generator) -> Light:
    """A plausible sun (late morning, northern or southern summer to winter), or a radar's direction."""
    if device.modality == "sar":
        return Light(float(rng.choice((98.0, 262.0)) + rng.normal(0, 3)), float(90 - rng.uniform(28, 44)))
    return Light(float(rng.uniform(115, 235)), float(rng.uniform(30, 64)))


def lay_out(recipe: SceneRecipe) -> Site:
    """Place everything, draw nothing."""
    device = instrument(recipe.instrument)
    fixed, mobile = np.random.default_rng([recipe.place_seed, 11]), np.random.default_rng([recipe.visit_seed, 12])
    theme = recipe.theme or str(fixed.choice(THEMES, p=(0.25, 0.25, 0.18, 0.14, 0.08, 0.10)))
    gsd = recipe.gsd_m or device.gsd_m
    light = recipe.light or draw_light(device, mobile)
    plan_px = max(recipe.size_px, round(_SMALLEST_PLAN_M / gsd))
    site = Site(plan_px * gsd, SUPERSAMPLE / gsd, light, fixed, mobile, str(fixed.choice(BASES)))
    build(site, theme, recipe.domes, recipe.odd, recipe.inventions)
    site.theme = theme
    return site if plan_px == recipe.size_px else _look_at_something(site, recipe.size_px * gsd, mobile)


def _look_at_something(site: Site, size_m: float, rng: np.random.Generator) -> Site:
    """A window of a place that is larger than the scene, mostly around an object of a class drawn first."""
    names = sorted({item.model.class_name for item in site.placed} - {""})
    middle = rng.uniform(size_m / 2, site.size_m - size_m / 2, 2)
    if names and rng.random() < 0.9:
        name = str(rng.choice(names))
        chosen = [item for item in site.placed if item.model.class_name == name]
        middle = np.asarray(chosen[int(rng.integers(len(chosen)))].centre_m) + rng.uniform(-0.3, 0.3, 2) * size_m
    return site.window(float(middle[0] - size_m / 2), float(middle[1] - size_m / 2), size_m)


def render(recipe: SceneRecipe, *, without: int | None = None, site: Site | None = None) -> RenderedScene:
    """Render a recipe.

    Args:
        recipe: What.
        without: Index in ``site.placed`` of an object to leave out; the noise stays the same, so that the difference of two
            renderings is that object and its shadow.
        site: A place laid out already.
    """
    device = instrument(recipe.instrument)
    site = site or lay_out(recipe)
    objects = [placed for index, placed in enumerate(site.placed) if index != without]
    pixels = expose(site, device, objects, [recipe.place_seed, 13], np.random.default_rng([recipe.visit_seed, 14]))
    gsd = site.size_m / recipe.size_px
    return RenderedScene(pixels, truth_of(site, gsd, recipe.size_px), describe(site, device, gsd), site)


def expose(
    site: Site, device: Instrument, objects: list[Placed], texture_seed: list[int], noise: np.random.Generator
) -> NDArray[Any]:
    """Measure a place with an instrument, new array (C, H, W)."""
    if device.modality == "sar":
        from ovd_platform.demo.sar import measure

        return measure(site, device, objects, texture_seed, SUPERSAMPLE, noise)
    return digitise(radiance(site, device, objects, texture_seed), device, SUPERSAMPLE, float(noise.uniform(0.85, 1.15)), noise)


def describe(site: Site, device: Instrument, gsd_m: float) -> dict[str, Any]:
    """Sidecar fields of a scene (``.ovd.json``)."""
    light = site.light
    if device.modality == "sar":
        view = {
            "incidence_deg": round(90 - light.elevation_deg, 2),
            "look": "right",
            "orbit": "ascending" if light.azimuth_deg > 180 else "descending",
        }
    else:
        view = {
            "sun_azimuth_deg": round(light.azimuth_deg, 2),
            "sun_elevation_deg": round(light.elevation_deg, 2),
            "off_nadir_deg": 0.0,
        }
    bands = [{"name": name, "wavelength_um": um} for (name, _, _), um in zip(device.bands, device.wavelengths_um, strict=True)]
    return {
        "modality": device.modality,
        "instrument": device.name,
        "gsd_m": gsd_m,
        "bands": bands,
        "view": view,
        "bits_effective": device.bits or None,
        "rendered": True,
    }


def truth_of(site: Site, gsd_m: float, size_px: int) -> list[TruthObject]:
    """Boxes of every object with a class, in pixels; what shows less than 35 % or is under 4 px long is left out."""
    found = []
    for placed in site.placed:
        if not placed.model.class_name:
            continue
        corners, visible = _cut(placed.outline_m / gsd_m, size_px)
        if visible < 0.35 or float(np.ptp(corners, axis=0).max()) < _SMALLEST_PX:
            continue
        found.append(
            TruthObject(
                placed.model.class_name,
                tuple((round(x, 2), round(y, 2)) for x, y in corners.tolist()),
                tuple((round(x, 2), round(y, 2)) for x, y in (placed.corners_m / gsd_m).tolist()),
                placed.context,
                placed.odd,
                placed.model.kind,
                round(visible, 3),
                placed.model.class_name != HELD_OUT_CLASS,
            )
        )
    return found


def _cut(corners_n2: Points, size_px: int) -> tuple[Points, float]:
    if corners_n2.min() >= 0 and corners_n2.max() <= size_px:
        return corners_n2, 1.0
    import cv2

    frame = np.array([[0, 0], [size_px, 0], [size_px, size_px], [0, size_px]], np.float32)
    area, inside = cv2.intersectConvexConvex(corners_n2.astype(np.float32), frame)
    if inside is None or area <= 0:
        return corners_n2, 0.0
    return inside.reshape(-1, 2).astype(np.float64), float(area / max(cv2.contourArea(corners_n2.astype(np.float32)), 1e-6))

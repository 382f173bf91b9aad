"""Words about rendered chips. Belongs here: synonyms, templates, filler text and the vocabulary file's content."""

from typing import Any

import numpy as np

from ovd_platform.demo.chips import DocumentChip

_NAMES: dict[str, tuple[tuple[str, str], ...]] = {
    "ship": (("ship", "ships"), ("vessel", "vessels"), ("large ship", "large ships")),
    "small boat": (
        ("small boat", "small boats"),
        ("boat", "boats"),
        ("motor boat", "motor boats"),
        ("small craft", "small craft"),
    ),
    "aircraft": (("aircraft", "aircraft"), ("airplane", "airplanes"), ("plane", "planes"), ("aeroplane", "aeroplanes")),
    "helicopter": (("helicopter", "helicopters"), ("rotorcraft", "rotorcraft")),
    "vehicle": (("vehicle", "vehicles"), ("car", "cars"), ("road vehicle", "road vehicles")),
    "storage tank": (("storage tank", "storage tanks"), ("oil tank", "oil tanks"), ("cylindrical tank", "cylindrical tanks")),
    "building": (("building", "buildings"), ("house", "houses"), ("rectangular building", "rectangular buildings")),
    "wind turbine": (("wind turbine", "wind turbines"), ("wind power turbine", "wind power turbines")),
    "bridge": (("bridge", "bridges"), ("road bridge", "road bridges")),
    "crane": (("crane", "cranes"), ("lifting crane", "lifting cranes")),
    "dome building": (
        ("dome building", "dome buildings"),
        ("small building with a dome roof", "small buildings with dome roofs"),
        ("dome-roofed building", "dome-roofed buildings"),
        ("round domed building", "round domed buildings"),
        ("building with a domed roof", "buildings with domed roofs"),
        ("domed building", "domed buildings"),
    ),
}
_KIND_USED = {"ship", "aircraft", "crane", "vehicle"}  # classes whose sub-type is a natural name
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
_FORMS = (
    "{A} {where}.",
    "{A} {where}",
    "Satellite view of {a} {where}.",
    "{A} seen from above, {where}.",
    "Example of {a} {where}.",
    "{A} {where}, as seen by the satellite.",
    "Close-up of {a}, {where}.",
)
_SAR_FORMS = ("SAR image of {a} {where}.", "Radar image (SAR): {a} {where}.", "{A} {where}, SAR amplitude.")
_FILLER = (
    "The scenes were acquired at different sun elevations, which changes the length of the shadows and the look of roofs.",
    "Small objects cover only a few pixels, so that their surroundings carry much of what an analyst goes by.",
    "Two analysts looked at each picture on its own; where they did not agree, a third one decided.",
    "Contrast depends on the season. Vegetation appears bright in the near infrared and dark in the visible bands.",
    "The area was visited several times during the year and changes were noted in a log.",
    "All pictures were stretched to eight bits for printing; measurements were made on the original numbers.",
    "Shadows fall away from the sun and help to tell high objects from flat ones.",
    "Confusion is most frequent between objects of like size, and least where the outline is distinct.",
)
TITLES = (
    "Objects along the northern coast",
    "A catalogue of structures near the harbour",
    "Notes on airfield activity",
    "Visual guide to small targets",
    "Survey of the western district",
    "Interpretation keys for high resolution imagery",
    "Monthly imagery report",
    "Landmarks seen from orbit",
    "Inventory of facilities and vehicles",
    "Field notes and image chips",
    "Radar signatures of common objects",
    "A comparison of targets in several bands",
)


def describe(chip: DocumentChip, rng: np.random.Generator) -> str:
    """A caption for a chip, varied in name, number, surroundings and form."""
    singular, plural = _NAMES[chip.class_name][int(rng.integers(len(_NAMES[chip.class_name])))]
    if chip.class_name in _KIND_USED and chip.kind and rng.random() < 0.4:
        singular = chip.kind if chip.kind != "fighter" else "fighter aircraft"
        plural = singular if singular.endswith("aircraft") else _plural(singular)
        if chip.count > 1 and chip.class_name != "aircraft":
            singular, plural = _NAMES[chip.class_name][0]
    noun = plural if chip.count > 1 else singular
    article = _NUMBERS[min(chip.count, 6)] if chip.count > 1 else ("an" if singular[0] in "aeiou" else "a")
    phrase = f"{article} {noun}"
    forms = _SAR_FORMS if chip.instrument.startswith("sar") else _FORMS
    form = forms[int(rng.integers(len(forms)))]
    return form.format(a=phrase, A=phrase[0].upper() + phrase[1:], where=chip.setting)


def _plural(singular: str) -> str:
    return singular[:-1] + "ies" if singular.endswith("ry") else singular + ("es" if singular.endswith("s") else "s")


def short_name(chip: DocumentChip, rng: np.random.Generator) -> str:
    """A name for a call-out: "domed building"."""
    names = _NAMES[chip.class_name]
    return names[int(rng.integers(len(names)))][1 if chip.count > 1 else 0]


def paragraph(rng: np.random.Generator, mention: str = "") -> str:
    """Filler text, with a sentence that mentions a figure."""
    lines = [_FILLER[int(index)] for index in rng.permutation(len(_FILLER))[: int(rng.integers(2, 4))]]
    return " ".join([*lines, mention]).strip()


def vocabulary() -> dict[str, Any]:
    """Content of ``vocabulary.yaml``: every class but the held-out one, and background prompts."""
    rows = (
        (
            "ship",
            ["a satellite image of a ship", "a ship moored at a pier"],
            ["vessel", "cargo ship", "tanker", "warship", "ferry"],
            1,
        ),
        ("small boat", ["a satellite image of a small boat"], ["boat", "motor boat", "sailing boat", "small craft"], 2),
        (
            "aircraft",
            ["a satellite image of an aircraft", "an aircraft parked on an apron"],
            ["airplane", "plane", "aeroplane"],
            3,
        ),
        ("helicopter", ["a satellite image of a helicopter"], ["rotorcraft"], 4),
        ("vehicle", ["a satellite image of a vehicle", "a car on a road"], ["car", "lorry", "bus", "van"], 5),
        ("storage tank", ["a satellite image of a storage tank"], ["oil tank", "cylindrical tank"], 6),
        ("building", ["a satellite image of a building"], ["house", "hall", "rectangular building"], 7),
        ("wind turbine", ["a satellite image of a wind turbine"], ["wind power turbine"], 8),
        ("bridge", ["a satellite image of a bridge"], ["road bridge"], 9),
        ("crane", ["a satellite image of a crane"], ["quay crane", "tower crane"], 10),
    )
    background = [
        "open water",
        "an empty field",
        "trees",
        "a road without vehicles",
        "bare ground",
        "an empty apron",
        "waves on the sea",
    ]
    classes = [
        {"name": name, "prompts": prompts, "synonyms": synonyms, "coco_id": key} for name, prompts, synonyms, key in rows
    ]
    return {"classes": classes, "background": background}

"""Which scene a label file means: by scene id, file name, file stem or folder of a band stack.

Belongs here: matching of references. Does not belong here: reading label files (formats) or scenes (raster).
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import PurePosixPath

from ovd_platform.records.scene import SceneRecord

RENDITIONS = frozenset(
    {"rgb", "rgba", "bgr", "pan", "ms", "mul", "ps", "vis", "8bit", "uint8", "quicklook", "preview", "browse"}
)


class SceneLookup:
    """Finds the scene a reference means and remembers what it could not find or had to guess."""

    def __init__(self, scenes: Mapping[str, SceneRecord]) -> None:
        """Index the scenes.

        Args:
            scenes: Scene records by scene id (other keys are accepted as further names).
        """
        self._scenes = scenes
        self._by_name: dict[str, set[str]] = defaultdict(set)
        for key, record in scenes.items():
            for name in _names(key, record):
                self._by_name[name].add(key)

    def find(self, reference: str) -> tuple[SceneRecord | None, str]:
        """The scene of a reference.

        Args:
            reference: Scene id, file name, path or stem, as a label file spells it.

        Returns:
            The record and "" when sure; the record and a note when it was inferred; None and the reason otherwise.
        """
        reference = reference.strip()
        if reference in self._scenes:
            return self._scenes[reference], ""
        name = PurePosixPath(reference.replace("\\", "/")).name
        for candidate in (reference, name, PurePosixPath(name).stem, slug(PurePosixPath(name).stem)):
            keys = self._by_name.get(candidate.lower(), set())
            if len(keys) == 1:
                return self._scenes[next(iter(keys))], ""
            if len(keys) > 1:
                return None, f"'{reference}' is ambiguous: scenes {', '.join(sorted(keys))}"
        return self._without_rendition(reference, PurePosixPath(name).stem.lower())

    def _without_rendition(self, reference: str, stem: str) -> tuple[SceneRecord | None, str]:
        """Last resort: the stem without a suffix that names a rendition of the scene, such as ``_rgb``; never a number."""
        shorter, mark, suffix = max((stem.rpartition(mark) for mark in "_-."), key=lambda parts: len(parts[0]))
        keys = self._by_name.get(shorter, set()) if mark and suffix in RENDITIONS else set()
        if len(keys) == 1:
            key = next(iter(keys))
            return self._scenes[key], f"'{reference}' taken for scene {key}"
        return None, f"no scene is called '{reference}'" if not keys else f"'{reference}' could be {', '.join(sorted(keys))}"


def slug(text: str) -> str:
    """Letters, digits, ``_``, ``.`` and ``-`` of a text, everything else as ``-``."""
    return "".join(character if character.isalnum() or character in "_.-" else "-" for character in text)


def _names(key: str, record: SceneRecord) -> set[str]:
    """Every lower-case name a scene may be referred to by."""
    names = {key, record.scene_id}
    parts = record.uri.split("|")
    paths = [PurePosixPath(part.replace("\\", "/")) for part in parts]
    if len(paths) == 1:
        names |= {str(paths[0]), paths[0].name, paths[0].stem, slug(paths[0].stem)}
    elif len({path.parent for path in paths}) == 1:
        names.add(paths[0].parent.name)
    return {name.lower() for name in names if name}

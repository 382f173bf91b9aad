"""An opened workspace: its folder, its configuration, the files it names, and the catalogue of its scenes."""

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovd_platform.config import OvdConfig
from ovd_platform.errors import StaleError
from ovd_platform.records.scene import SceneRecord
from ovd_platform.stores.catalogue import read_entry, write_entry
from ovd_platform.stores.home import Home

RASTER_SUFFIXES = frozenset(
    {
        ".tif",
        ".tiff",
        ".jp2",
        ".j2k",
        ".ntf",
        ".nitf",
        ".nsf",
        ".jpg",
        ".jpeg",
        ".png",
        ".img",
        ".vrt",
        ".nc",
        ".npy",
        ".ovdx",
    }
)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder with `ovd.yaml`, opened.

    Attributes:
        home: Layout of the folder.
        config: Its settings.
    """

    home: Home
    config: OvdConfig

    @classmethod
    def open(cls, root: Path | str) -> "Workspace":
        """Open a workspace folder.

        Raises:
            InputError: If it holds no valid `ovd.yaml`.
        """
        path = Path(root).resolve()
        return cls(Home(path), OvdConfig.load(path))

    def imagery_files(self) -> list[str]:
        """Scene files named by the configuration, sorted; entries with ``|`` (band stacks) ``/vsi`` paths and URLs pass as they are."""
        return _expand(self.home.root, self.config.imagery, RASTER_SUFFIXES)

    def document_files(self) -> list[Path]:
        """Documents named by the configuration, sorted."""
        return [Path(name) for name in _expand(self.home.root, self.config.documents, frozenset({".pdf"}))]

    def label_files(self) -> list[Path]:
        """Label files named by the configuration, sorted."""
        suffixes = frozenset({".json", ".geojson", ".csv", ".txt", ".xml"})
        return [Path(name) for name in _expand(self.home.root, self.config.labels, suffixes)]

    def scenes(self, modality: str) -> list[SceneRecord]:
        """Registered scenes of a modality, sorted by id."""
        folder = self.home.catalog / modality
        return [SceneRecord.from_dict(read_entry(path)["record"]) for path in sorted(folder.glob("*.json"))]

    def scene(self, modality: str, scene_id: str) -> SceneRecord:
        """One registered scene.

        Raises:
            StaleError: If it is not registered.
        """
        return SceneRecord.from_dict(self.scene_entry(modality, scene_id)["record"])

    def scene_entry(self, modality: str, scene_id: str) -> dict[str, Any]:
        """Catalogue entry of a scene: ``record``, ``state`` (live | archived | aged_off), ``archive``, ``registered_utc``."""
        path = self.scene_path(modality, scene_id)
        if not path.is_file():
            raise StaleError(f"Cannot find scene {scene_id}: expected it in the catalogue of {modality}. Run `ovd ingest`.")
        return read_entry(path)

    def write_scene_entry(self, entry: dict[str, Any]) -> None:
        """Write a catalogue entry under the modality and id of its record; the file is a STAC item."""
        write_entry(self.scene_path(entry["record"]["modality"], entry["record"]["scene_id"]), entry)

    def scene_path(self, modality: str, scene_id: str) -> Path:
        """File of a scene's catalogue entry."""
        return self.home.catalog / modality / f"{scene_id}.json"


def _expand(root: Path, entries: Iterable[str], suffixes: frozenset[str]) -> list[str]:
    found: list[str] = []
    for entry in entries:
        if "|" in entry or "://" in entry or entry.startswith("/vsi"):
            found.append(entry)
            continue
        path = Path(entry) if Path(entry).is_absolute() else root / entry
        if path.suffix == ".ovdx" or path.is_file():
            found.append(str(path))
        elif path.is_dir():
            found.extend(
                str(item) for item in path.rglob("*") if item.suffix.lower() in suffixes and not _is_hidden(item, path)
            )
        else:
            matches = glob.glob(str(path), recursive=True)  # noqa: PTH207 (patterns are absolute)
            found.extend(item for item in matches if Path(item).suffix.lower() in suffixes)
    return sorted(set(found))


def _is_hidden(item: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in item.relative_to(root).parts)

"""Open scenes kept for the next request. Belongs here: lending handles to one thread at a time; pictures are `pictures`'.

A raster handle must not be shared by threads, and opening one costs more than reading a tile. So a request borrows a handle and gives it
back; what the catalogue no longer says the same of is opened anew.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovd_platform.errors import UnknownNameError
from ovd_platform.flow.scenes import open_registered
from ovd_platform.flow.stage import current
from ovd_platform.flow.workspace import Workspace
from ovd_platform.raster.radiometry import InstrumentProfile, display_bands
from ovd_platform.records.scene import MODALITIES, SceneRecord
from ovd_platform.stores.catalogue import read_entry

if TYPE_CHECKING:
    from ovd_platform.raster.scene import Scene

KEPT = 24
_Key = tuple[str, str, int]


@dataclass(slots=True)
class Shown:
    """An open scene with what is needed to show it.

    Attributes:
        scene: The open scene.
        record: Its catalogue record (the open scene's may name a tiled copy or the archive).
        bands: Bands shown as red, green, blue, or the one shown as grey.
        profile: Normalisation of these bands, in their order.
        overviews: Reduced images of the file by their reduction, opened when first needed (`overviews`).
    """

    scene: "Scene"
    record: SceneRecord
    bands: tuple[int, ...]
    profile: InstrumentProfile
    overviews: dict[int, Any] = field(default_factory=dict)

    def close(self) -> None:
        """Close every handle."""
        for dataset in self.overviews.values():
            dataset.close()
        self.scene.close()


@dataclass(frozen=True, slots=True)
class Entry:
    """A scene as the catalogue has it, with the time of its file: equal stamps mean equal entries."""

    record: SceneRecord
    state: str
    registered_utc: str
    stamp_ns: int


class OpenScenes:
    """Lends open scenes of a workspace; safe for threads.

    Args:
        ws: The workspace.
        kept: Idle handles kept open.
    """

    def __init__(self, ws: Workspace, kept: int = KEPT) -> None:
        self.ws, self._kept = ws, kept
        self._idle: OrderedDict[_Key, list[Shown]] = OrderedDict()
        self._entries: dict[Path, Entry] = {}
        self._lock = threading.Lock()

    def entries(self, modality: str) -> list[Entry]:
        """Registered scenes of a modality, sorted by id; only files that changed are read."""
        paths = sorted((self.ws.home.catalog / modality).glob("*.json"))
        return [self._entry(path) for path in paths]

    def entry(self, scene_id: str, modality: str | None = None) -> Entry:
        """One scene.

        Raises:
            UnknownNameError: If no scene has that id.
        """
        for one in (modality,) if modality else MODALITIES:
            path = self.ws.scene_path(one, scene_id)
            if path.parent.parent == self.ws.home.catalog and path.is_file():
                return self._entry(path)
        raise UnknownNameError(
            f"Cannot show scene {scene_id[:80]!r}: expected the id of a registered scene, got another. /api/scenes lists them."
        )

    def _entry(self, path: Path) -> Entry:
        stamp = path.stat().st_mtime_ns
        known = self._entries.get(path)
        if known is None or known.stamp_ns != stamp:
            values = read_entry(path)
            record = SceneRecord.from_dict(values["record"])
            known = Entry(record, values["state"], values.get("registered_utc", ""), stamp)
            self._entries[path] = known
        return known

    @contextmanager
    def borrow(self, scene_id: str, modality: str | None = None) -> Iterator[Shown]:
        """An open scene for the length of a block.

        Raises:
            UnknownNameError: If no scene has that id.
            StaleError: If it was not scanned yet.
        """
        entry = self.entry(scene_id, modality)
        key = (entry.record.modality, scene_id, entry.stamp_ns)
        with self._lock:
            idle = self._idle.get(key)
            shown = idle.pop() if idle else None
        if shown is None:
            shown = self._opened(entry.record)
        try:
            yield shown
        except BaseException:
            shown.close()  # A handle that failed once is not lent again.
            raise
        self._give_back(key, shown)

    def _opened(self, record: SceneRecord) -> Shown:
        bands = display_bands(record)
        profile = self.profile(record.modality, record.scene_id)
        seen = replace(profile, low_c=tuple(profile.low_c[i] for i in bands), high_c=tuple(profile.high_c[i] for i in bands))
        return Shown(open_registered(self.ws, record.modality, record.scene_id), record, bands, seen)

    def profile(self, modality: str, scene_id: str) -> InstrumentProfile:
        """Normalisation of a scene, as its tiles stage found it."""
        return _profile(current(self.ws, modality, "tiles", scene_id).folder)

    def _give_back(self, key: _Key, shown: Shown) -> None:
        surplus: list[Shown] = []
        with self._lock:
            self._idle.setdefault(key, []).append(shown)
            self._idle.move_to_end(key)
            while sum(map(len, self._idle.values())) > self._kept:
                oldest = next(iter(self._idle))
                surplus.append(self._idle[oldest].pop(0))
                if not self._idle[oldest]:
                    del self._idle[oldest]
        for one in surplus:
            one.close()

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, OrderedDict()
        for shown in (one for several in idle.values() for one in several):
            shown.close()


@lru_cache(maxsize=4096)
def _profile(folder: Path) -> InstrumentProfile:
    from ovd_platform.tiles.scan_files import load_profile

    return load_profile(folder)

"""What one running server holds: the workspace, open scenes, pyramids, finished pictures.

Belongs here: the life of these, warming up. Does not belong here: addresses (`*_routes`).
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from ovd_platform.errors import OvdError
from ovd_platform.flow import models, query
from ovd_platform.flow.stage import current_or_none
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.scene import MODALITIES
from ovd_platform.serve.open_scenes import OpenScenes
from ovd_platform.serve.overviews import Pyramids

logger = logging.getLogger(__name__)

_CACHE_BYTES = 96 << 20
_WARM_WORDS = "ship"


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture."""

    data: bytes
    media_type: str


class PictureCache:
    """Encoded pictures by what they show; the least recently asked leave first. Safe for threads."""

    def __init__(self, most_bytes: int = _CACHE_BYTES) -> None:
        self._most, self._bytes = most_bytes, 0
        self._kept: OrderedDict[tuple[object, ...], Picture] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[object, ...], make: Callable[[], Picture]) -> Picture:
        """The picture of a key, made if it is not there."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        made = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._bytes += len(made.data)
            while self._bytes > self._most and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1].data)
        return made


class Serving:
    """Everything the addresses of one server share.

    Args:
        ws: The workspace that is served.
    """

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.scenes = OpenScenes(ws)
        self.pyramids = Pyramids(ws)
        self.pictures = PictureCache()
        self.warm = threading.Event()

    def warm_up(self) -> None:
        """Load what the first search would wait for; failures are left for the search to tell."""
        started = time.monotonic()
        try:
            for modality in MODALITIES:
                if current_or_none(self.ws, modality, "release") is not None:
                    self._warm_up(modality)
        finally:
            self.warm.set()
        logger.info("Warm after %.1f s", time.monotonic() - started)

    def _warm_up(self, modality: str) -> None:
        try:
            encoder = models.encoder(self.ws, modality, models.released(self.ws, modality)["encoder"])
            if encoder.has_language:
                query.answer(self.ws, query.Question(text=_WARM_WORDS, modality=modality, top=1))
            records = (entry.record for entry in self.scenes.entries(modality))
            scanned = (one for one in records if current_or_none(self.ws, modality, "tiles", one.scene_id) is not None)
            first = next(scanned, None)
            if first is not None:
                box = f"{first.scene_id}:0,0,{min(32, first.width_px)},{min(32, first.height_px)}"
                query.answer(self.ws, query.Question(chips=(box,), modality=modality, top=1))
        except OvdError as error:
            logger.warning("Not warmed up for %s: %s", modality, error)

    def close(self) -> None:
        """Close scenes and stop making pyramids."""
        self.pyramids.close()
        self.scenes.close()


def serving(request: Request) -> Serving:
    """The server's state, for the addresses."""
    state: Serving = request.app.state.serving
    return state

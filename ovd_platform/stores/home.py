"""The layout of a workspace (`OVD_HOME`) and atomic small files.

Belongs here: where each artifact lies, content hashes, atomic writes. Does not belong here: what is inside them.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovd_platform.errors import StaleError

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Home:
    """Folders of one workspace; they come into being when first asked for.

    Attributes:
        root: The folder that holds `ovd.yaml`.
    """

    root: Path

    def _folder(self, *parts: str) -> Path:
        path = self.root.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def catalog(self) -> Path:
        """STAC items, one a scene."""
        return self._folder("catalog")

    @property
    def tables(self) -> Path:
        """LanceDB tables."""
        return self._folder("tables")

    @property
    def models(self) -> Path:
        """``<kind>/<version>/`` with weights and card."""
        return self._folder("models")

    @property
    def reports(self) -> Path:
        """Evaluation reports, contact sheets."""
        return self._folder("reports")

    @property
    def dagster(self) -> Path:
        """The Dagster instance."""
        return self._folder("dagster")

    def stage(self, modality: str, name: str) -> Path:
        """Folder of a stage's per-scene outputs, for example ``stages/optical/proposals``."""
        return self._folder("stages", modality, name)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary neighbour of `path` that replaces it when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, values: Any) -> Path:
    """Write JSON atomically (sorted keys, so equal content is equal bytes)."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1, sort_keys=True, default=str))
    return path


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        StaleError: If the file does not exist.
    """
    if not path.is_file():
        raise StaleError(f"Cannot read {path}: expected a materialized artifact, found nothing. Run `ovd run`.")
    return json.loads(path.read_text())


def content_hash(*parts: Any) -> str:
    """16 hex digits over the JSON form of the parts; equal parts give equal hashes on every machine."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True, default=str).encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


def file_hash(path: Path) -> str:
    """16 hex digits over a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()[:16]

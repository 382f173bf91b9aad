"""The workspace's vector tables, opened once a process, so that what searches share (handles, corpus means) is made once."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ovd_platform.flow.workspace import Workspace

if TYPE_CHECKING:
    from ovd_platform.stores.tables import VectorTables


def vector_tables(ws: Workspace) -> "VectorTables":
    """The vector tables of a workspace."""
    return _tables(ws.home.tables)


@lru_cache(maxsize=8)
def _tables(root: Path) -> "VectorTables":
    from ovd_platform.stores.tables import VectorTables

    return VectorTables(root)

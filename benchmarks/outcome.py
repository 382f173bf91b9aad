"""One figure of a benchmark against its goal."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """A measured value and the goal it is held to; `at_least` False means smaller is better."""

    what: str
    value: float
    goal: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def line(self, name: str) -> str:
        sign = ">=" if self.at_least else "<="
        return f"RESULT {name}:{self.what} {self.value:.4g} {sign}{self.goal:g} {'ok' if self.met else 'short'}"


def shared_data() -> Path:
    """Folder of the real test data: OVD_SHARED_DATA, else `../shared/data` beside the project."""
    folder = Path(os.environ.get("OVD_SHARED_DATA", Path(__file__).parents[1].parent / "shared" / "data"))
    if not folder.is_dir():
        raise SystemExit(f"Cannot run on real data: expected it at {folder}. Set OVD_SHARED_DATA to its folder.")
    return folder

"""What a person waits for, in one command: the embedding stage (`embed-speed`), then the page (`page-speed`). Belongs here: the sum only.

Questions to a million vectors are timed by `ann`, which makes them.
"""

from benchmarks import embed_speed, page_speed
from benchmarks.outcome import Outcome


def run(arguments: list[str]) -> list[Outcome]:
    """Both parts, one after the other."""
    return [*embed_speed.run(arguments), *page_speed.run(arguments)]

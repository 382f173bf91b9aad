"""Whether a filtered search still finds what an exact one finds. Belongs here: the recall; searching is `search`'s."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ovd_platform.evaluate.bootstrap import plain
from ovd_platform.evaluate.inputs import FilteredSearch


def recall_of(search: FilteredSearch) -> float:
    """Share of the exact answer that the index answered too; NaN where the filter leaves nothing."""
    return len(set(search.answered) & set(search.exact)) / len(search.exact) if search.exact else float("nan")


def filtered_section(searches: Sequence[FilteredSearch]) -> dict[str, Any]:
    """Recall by filter, its worst search, and how often fewer answers came than exist."""
    section: dict[str, Any] = {}
    for name in dict.fromkeys(search.filter_name for search in searches):
        part = [search for search in searches if search.filter_name == name]
        recall = np.asarray([recall_of(search) for search in part])
        known = recall[np.isfinite(recall)]
        section[name] = {
            "searches": len(part),
            "selectivity": plain(float(np.mean([search.selectivity for search in part]))),
            "recall": plain(float(known.mean())) if len(known) else None,
            "worst": plain(float(known.min())) if len(known) else None,
            "too_few_answers": sum(len(search.answered) < len(search.exact) for search in part),
        }
    return section

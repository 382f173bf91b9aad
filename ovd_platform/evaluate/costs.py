"""What an area costs to be answered for. Belongs here: time and price a thousand square kilometres; measuring time is not."""

from collections.abc import Sequence
from typing import Any

from ovd_platform.evaluate.bootstrap import plain
from ovd_platform.evaluate.froc import Exposure
from ovd_platform.evaluate.inputs import Costs


def costs_section(costs: Costs, exposures: Sequence[Exposure]) -> dict[str, Any]:
    """Seconds by stage, megapixels a second, and hours and euros a 1,000 km2 (None without ground scale).

    Wall-clock on the stated machine, whatever else ran on it: a figure to plan with, not to compare programs with.
    """
    seconds = sum(costs.seconds.values())
    mpx = sum(exposure.mpx for exposure in exposures)
    km2 = sum(exposure.km2 or 0.0 for exposure in exposures)
    placed = all(exposure.km2 is not None for exposure in exposures) and km2 > 0
    hours = seconds / 3600 / km2 * 1000 if placed else None
    return {
        "machine": costs.machine,
        "eur_per_hour": costs.eur_per_hour,
        "seconds": {name: plain(value) for name, value in costs.seconds.items()},
        "seconds_total": plain(seconds),
        "mpx_per_s": plain(mpx / seconds) if seconds > 0 else None,
        "hours_per_1000_km2": plain(hours) if hours is not None else None,
        "eur_per_1000_km2": plain(hours * costs.eur_per_hour) if hours is not None else None,
    }

"""A fault of data or plumbing is a number and a sentence of the report, not a mystery in the accuracy."""

import pytest

from benchmarks.report_faults import FAULTS, is_visible, report_of, sound_input
from ovd_platform.evaluate.stats import evaluate


@pytest.mark.parametrize("name", FAULTS)
def test_an_injected_fault_is_visible_as_the_right_number(name: str) -> None:
    shown = report_of(FAULTS[name])
    assert is_visible(shown), shown


def test_a_sound_evaluation_has_no_findings() -> None:
    assert evaluate(sound_input(), replicates=20)["health"]["findings"] == []

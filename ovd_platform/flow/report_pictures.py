"""Pictures for the evaluation report: best hits, missed objects, false alarms, each cut from its scene."""

from typing import TYPE_CHECKING

from ovd_platform.flow.workspace import Workspace

if TYPE_CHECKING:
    from ovd_platform.evaluate.inputs import EvaluationInput


def report_pictures(ws: Workspace, modality: str, given: "EvaluationInput") -> dict[str, bytes]:
    """PNG by title."""
    return {}

"""`ovd demo` in a fresh folder, then again: time, every asset materialized, nothing recomputed."""

import shutil
import time

from benchmarks.outcome import Outcome
from benchmarks.workspaces import BENCH_HOME, ovd, save_result

DEMO_HOME = BENCH_HOME / "demo"


def run(arguments: list[str]) -> list[Outcome]:
    """Run the demo twice and look at its instance."""
    if "keep" not in arguments:
        shutil.rmtree(DEMO_HOME, ignore_errors=True)
    started = time.monotonic()
    ovd("demo", "--directory", str(DEMO_HOME))
    minutes = (time.monotonic() - started) / 60
    second = ovd("demo", "--directory", str(DEMO_HOME))
    missing = unmaterialized()
    print("without a materialization:", ", ".join(missing) or "none")
    save_result(
        "demo",
        {
            "minutes": round(minutes, 2),
            "assets_without_materialization": missing,
            "command": "uv run python -m benchmarks demo",
        },
    )
    return [
        Outcome("minutes", minutes, 8, at_least=False),
        Outcome("assets without a materialization", len(missing), 0, at_least=False),
        Outcome("second run does nothing", float("Nothing to do" in second), 1),
    ]


def unmaterialized() -> list[str]:
    """Assets the demo's instance shows as never materialized."""
    from assets.launch import open_instance
    from definitions import defs
    from ovd_platform.flow.workspace import Workspace

    with open_instance(Workspace.open(DEMO_HOME)) as instance:
        keys = [key for key in defs.resolve_asset_graph().get_all_asset_keys() if key.path[-1] != "scene"]
        return sorted("/".join(key.path) for key in keys if instance.get_latest_materialization_event(key) is None)

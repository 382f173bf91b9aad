"""From scenes to report in one command on finished workspaces, and the page in a real browser at two widths.

Needs the workspaces of the benchmarks `airbus` and `demo` (in OVD_BENCH_HOME), and Chromium for the page. The screenshots are
written beside each report, to be looked at.
"""

import html
import json
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.outcome import Outcome
from benchmarks.workspaces import BENCH_HOME, ovd, save_result
from ovd_platform.flow.models import released
from ovd_platform.flow.stage import current
from ovd_platform.flow.workspace import Workspace
from ovd_platform.stores.home import read_json

WIDTHS = (1280, 390)
SETS = {"airbus": ("optical",), "demo": ("optical", "sar")}

_PROBE = """<script>
window.seen = [];
window.addEventListener("error", (event) => window.seen.push(String(event.message)));
for (const kind of ["error", "warn"]) console[kind] = (...words) => window.seen.push(words.join(" "));
</script>"""

_JUDGE = """<!doctype html><meta charset="utf-8"><body style="margin:0"><pre id="facts"></pre>
<iframe id="page" style="border:0;width:{width}px;height:{height}px" srcdoc="{page}"></iframe><script>
document.getElementById("page").addEventListener("load", (event) => {{
  const view = event.target.contentWindow, page = view.document, root = page.documentElement;
  const small = [...page.querySelectorAll("td,th,p,li,dd,figcaption,.tile span")].filter(
    (node) => node.textContent.trim() && parseFloat(view.getComputedStyle(node).fontSize) < 11).length;
  const plots = [...page.querySelectorAll(".plot")];
  let answered = 0;
  for (const plot of plots) {{
    const svg = plot.querySelector("svg.chart"), box = svg.getBoundingClientRect();
    svg.dispatchEvent(new view.PointerEvent("pointermove", {{ clientX: box.left + box.width * 0.7, clientY: box.top + 9 }}));
    if (/\\d\\.\\d/.test(plot.querySelector("output").textContent)) answered += 1;
    const button = plot.querySelector(".legend button");
    if (button) {{ button.click(); if (svg.querySelector('[data-line="0"]').style.display !== "none") answered -= 1; button.click(); }}
  }}
  document.getElementById("facts").textContent = JSON.stringify({{
    errors: view.seen, width: root.scrollWidth, window: view.innerWidth, small, plots: plots.length, answered,
    headings: page.querySelectorAll("h2").length, pictures: [...page.images].filter((one) => one.naturalWidth > 0).length,
    images: page.images.length, height: root.scrollHeight }});
}});
</script>"""


def run(arguments: list[str]) -> list[Outcome]:
    """Report on both workspaces, then look at the pages."""
    facts: dict[str, Any] = {}
    for name, modalities in SETS.items():
        home = BENCH_HOME / name
        for modality in modalities:
            shutil.rmtree(home / "stages" / modality / "evaluation_report", ignore_errors=True)
        started = time.monotonic()
        ovd("run", "-C", str(home))
        seconds = time.monotonic() - started
        ws = Workspace.open(home)
        for modality in modalities:
            folder = current(ws, modality, "evaluation_report", released(ws, modality)["version"]).folder
            facts[f"{name}/{modality}"] = {"run_s": round(seconds, 1), **look(folder / "report.html", folder)}
            stats = read_json(folder / "stats.json")
            facts[f"{name}/{modality}"]["sections"] = sorted(section for section in stats if section != "replicates")
    facts["command"] = "uv run python -m benchmarks report"
    save_result("report", facts)
    print(json.dumps(facts, indent=1))
    pages = [row[str(width)] for row in facts.values() if isinstance(row, dict) for width in WIDTHS]
    return [
        Outcome("pages looked at", len(pages), 6),
        Outcome("console errors", sum(len(page["errors"]) for page in pages), 0, at_least=False),
        Outcome("pages wider than their window", sum(page["width"] > page["window"] for page in pages), 0, at_least=False),
        Outcome("texts below 11 px", sum(page["small"] for page in pages), 0, at_least=False),
        Outcome("curves that answer", min(page["answered"] / max(1, page["plots"]) for page in pages), 1),
        Outcome("pictures that load", min(page["pictures"] / max(1, page["images"]) for page in pages), 1),
    ]


def look(page: Path, pictures: Path) -> dict[str, dict[str, Any]]:
    """Open a report in Chromium at each width: errors, overflow, small text, curves that answer; a screenshot beside it."""
    browser = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    if browser is None:
        raise SystemExit("Cannot look at the report: expected Chromium or Chrome on the PATH, found neither. Install one.")
    facts = {}
    source = page.read_text()
    for width in WIDTHS:
        with tempfile.TemporaryDirectory() as folder:
            judge = Path(folder) / "judge.html"
            probed = html.escape(source.replace("<head>", "<head>" + _PROBE, 1))
            judge.write_text(_JUDGE.format(width=width, height=900, page=probed))
            command = [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--user-data-dir={folder}/profile",
            ]
            command += ["--virtual-time-budget=8000", f"--window-size={max(width, 520)},1000"]
            dumped = subprocess.run([*command, "--dump-dom", judge.as_uri()], check=True, text=True, capture_output=True).stdout
            found = re.search(r'<pre id="facts">(.*?)</pre>', dumped, re.S)
            if found is None or not found[1]:
                raise SystemExit(f"{page}: the browser did not finish loading it")
            facts[str(width)] = json.loads(html.unescape(found[1]))
            judge.write_text(_JUDGE.format(width=width, height=min(facts[str(width)]["height"], 9000), page=probed))
            tall = f"--window-size={max(width, 520)},{min(facts[str(width)]['height'] + 40, 9000)}"
            shot = pictures / f"screenshot_{width}.png"
            command = [part for part in command if not part.startswith("--window-size")]
            subprocess.run([*command, tall, f"--screenshot={shot}", judge.as_uri()], check=True, capture_output=True)
    return facts

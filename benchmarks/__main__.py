"""`uv run python -m benchmarks NAME`: run one benchmark; without NAME list them all."""

import importlib
import sys

from benchmarks.outcome import Outcome

NAMES = {
    "demo": "fresh workspace: `ovd demo` twice, time, hits of the unlabelled class, second run does nothing (about 8 minutes)",
    "rendered-truth": "the demo's results against exact truth: proposals, search, georeference, seams (after `demo`, 1 minute)",
    "airbus": "60 real Pleiades scenes through Dagster, 12 held out: recall, AP50, by-example search (about 25 minutes)",
    "starter": "the same scenes with the shipped starter weights only (about 10 minutes)",
    "affected": "adding, changing and ageing off one scene touches only what it must (about 3 minutes)",
    "coco-parity": "COCO figures against the published ones, pycocotools on 200 random cases, cases by hand (1 minute)",
    "eval-speed": "500,000 detections against pycocotools and faster-coco-eval, report included, memory (about 4 minutes)",
    "report-faults": "injected faults and the number of the report that shows each (seconds)",
    "report": "scenes to report in one command on finished workspaces; the page in a real browser (about 3 minutes)",
    "rasters": "all awkward rasters of the test data: what was read, what was refused and why (about 2 minutes)",
    "georeference": "pixels to ground and back on real scenes, against published pairs and GDAL (half a minute)",
    "gigapixel": "a scene of 50,000 x 100,000 px through tiles and proposals in constant memory, killed and resumed (10 minutes)",
    "reading": "tile reading, percentiles and normalisation against the bare codec and rasterio (3 minutes)",
    "reading-peers": "the same tiles by SAHI and supervision: time, memory, what is left of 12 bits (needs the group peers)",
    "screening": "labelled objects that lie in kept tiles: Pleiades aircraft, Sentinel-2 ships, SAR ships (1 minute)",
    "pdf-generated": "76 documents of eight producers with exact truth: figures, captions, call-outs (group documents-bench, 5 minutes)",
    "pdf-real": "the real documents: figures and words against a table written by looking at the pages (about 3 minutes)",
    "pdf-speed": "reading documents: pages a second, CPU over the library calls, processes, memory (about 2 minutes)",
    "search-page": "the search page in a real browser on the demo, screenshots (after `demo`, needs Chromium, 1 minute)",
    "page-speed": "first page view, words on the demo, tiles of a 50,000 x 100,000 px scene (after `demo`, about 4 minutes)",
    "ann": "one million vectors of 512 numbers: recall, memory, speed, filters, build (about 10 minutes; a number of rows may follow)",
    "regions": "regions pooled from one dense pass against crops: speed, P@50, AP (after `demo` and `airbus`, about 6 minutes)",
    "embed-speed": "the embedding stage against the bare forward of its model (after `demo`, half a minute)",
    "serve-speed": "`embed-speed` and `page-speed` one after the other",
    "writers": "eight writers of overlapping scenes, some killed, while readers look on (about 1 minute)",
    "seams": "seam merging: rafted ships, duplicates, half-tile shift on real scenes, time against an STRtree (2 minutes)",
    "cfar": "stated false-alarm rates on simulated clutter; speed against OpenCV and skimage (`uv run --with scikit-image`, 2 minutes)",
    "few-shot": "a class after the fact from 5 and 10 examples; target precision asked and achieved (after `demo`, 3 minutes)",
    "detect-ships": "Sentinel-2 ships by leave-one-port-out (`detect-ships MINUTES` a fold, default 2) and CFAR on HRSID",
    "detect-airbus": "aircraft, 12 scenes held out, against Faster R-CNN, FCOS and D-FINE (`detect-airbus MINUTES`, 4 x 24 + 10 minutes)",
    "propose-speed": "Mpx/s against Faster R-CNN MobileNet; the stage against its own forward pass (1 minute)",
    "pairs-to-search": "search by words with today's pairs against those of the first extractor (after `demo`, 10 minutes)",
    "figure-kinds": "satellite, map, diagram, photograph, other: rules, classifier and both on real and made figures (5 minutes)",
    "lineage": "`ovd lineage` of a detection against what really ran (after `demo`, seconds)",
}


def main(arguments: list[str]) -> int:
    """Run the named benchmark; the last lines are ``RESULT NAME value goal ok|short``."""
    if not arguments:
        for name, text in NAMES.items():
            print(f"{name:16} {text}")
        return 0
    name = arguments[0]
    if name not in NAMES:
        print(f"Cannot run benchmark {name!r}: expected one of {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    module = importlib.import_module(f"benchmarks.{name.replace('-', '_')}")
    outcomes: list[Outcome] = module.run(arguments[1:])
    for outcome in outcomes:
        print(outcome.line(name))
    return 0 if all(outcome.met for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

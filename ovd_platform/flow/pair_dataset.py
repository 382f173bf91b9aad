"""The pair dataset as a stage: all buckets' pairs judged by the trained classifier, filtered, with report and machine captions beside."""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.flow.figure_kinds import load_kind_model, starter_embedding
from ovd_platform.flow.stage import Built, Inputs, Stage, Task, current_or_none, partitions_of, version_of
from ovd_platform.flow.workspace import Workspace
from ovd_platform.records.pair import Pair
from ovd_platform.stores.home import content_hash, write_json

CAPTIONS_FILE = "machine_captions.json"


def _inputs(ws: Workspace, modality: str, partition: str) -> Inputs:
    buckets = {bucket: version_of(ws, "shared", "pdf_pairs", bucket) for bucket in partitions_of(ws, "shared", "pdf_pairs")}
    captioner = ws.config.captioner
    asked = {"captioner": content_hash(captioner.model_dump(mode="json"))} if captioner.endpoint or captioner.command else {}
    return {**buckets, "figure_kinds": version_of(ws, "shared", "figure_kinds"), **asked}


def _build(task: Task) -> Built:
    import pyarrow.parquet as pq

    from ovd_platform.documents.pair_report import markdown, write_report
    from ovd_platform.documents.pairs import build_pair_dataset, pairs_from_table, pairs_to_table

    images = task.folder / "images"
    images.mkdir()
    pairs: list[Pair] = []
    for bucket in partitions_of(task.ws, "shared", "pdf_pairs"):
        output = current_or_none(task.ws, "shared", "pdf_pairs", bucket)
        if output is not None:
            pairs += pairs_from_table(pq.read_table(output.folder / "pairs.parquet"))
            shutil.copytree(output.folder / "images", images, dirs_exist_ok=True)
    dataset = build_pair_dataset(pairs, images, embed=starter_embedding(), judge=kind_judge(task.ws))
    pq.write_table(pairs_to_table(dataset.kept), task.folder / "pairs.parquet")
    write_json(task.folder / "rejected.json", dataset.rejected)
    write_json(task.folder / "kinds.json", {pair.pair_id: pair.kind for pair in dataset.judged})
    write_report(task.folder, dataset.judged, dataset.kept, dataset.rejected, images)
    for name in dataset.rejected:
        for path in images.glob(f"*/{name}.png"):
            path.unlink()
    facts: dict[str, Any] = {"pairs": len(dataset.kept), "rejected": len(dataset.rejected), "report": markdown(dataset.report)}
    facts |= {f"pairs_{name}": count for name, count in sorted(Counter(pair.modality for pair in dataset.kept).items())}
    facts |= _machine_captions(task.ws, task.folder, dataset.kept, images)
    return Built(facts, version=dataset.version)


def kind_judge(ws: Workspace) -> Any:
    """How the trained classifier judges a pair: from its pixels, their vector and its words."""
    from ovd_platform.documents.image_statistics import measure
    from ovd_platform.documents.kind import Judgement
    from ovd_platform.documents.kind_model import features, judge_with, logits

    model = load_kind_model(ws)

    def judge(pair: Pair, array: NDArray[Any], embedding_d: NDArray[np.float32] | None) -> Judgement:
        statistics = measure(array)
        looks_k = logits(model, features(statistics, embedding_d)[None])[0]
        return judge_with(model, looks_k, pair=pair, statistics=statistics)

    return judge


def _machine_captions(ws: Workspace, folder: Path, pairs: Sequence[Pair], images: Path) -> dict[str, Any]:
    """Ask the configured model about the kept figures; its words lie beside the pairs and change nothing in them."""
    from ovd_platform.documents.vision_captions import DEFAULT_PROMPT, ask_command, ask_endpoint, caption_figures

    settings = ws.config.captioner
    if settings.endpoint:
        ask = ask_endpoint(
            settings.endpoint,
            settings.model,
            prompt=settings.prompt or DEFAULT_PROMPT,
            timeout_s=settings.timeout_s,
            key_variable=settings.key_variable,
        )
    elif settings.command:
        ask = ask_command(settings.command, timeout_s=settings.timeout_s)
    else:
        return {}
    captions = caption_figures(pairs, images, ask, settings.model)
    write_json(folder / CAPTIONS_FILE, [caption.to_dict() for caption in captions])
    failed = [caption.error for caption in captions if caption.error]
    return {
        "machine_captions": len(captions) - len(failed),
        "machine_captions_failed": len(failed),
        "machine_captions_error": failed[0] if failed else "",
    }


PAIR_DATASET = Stage("pair_dataset", "2", _inputs, _build)

"""Documents -> pairs -> the pair dataset. Shared by both modalities."""

from dagster import AssetsDefinition

from assets.partitions import DOCUMENT_BUCKETS
from assets.stage_asset import key, stage_asset
from ovd_platform.flow import documents, figure_kinds, pair_dataset


def document_assets() -> list[AssetsDefinition]:
    """The assets of this module."""
    return [
        stage_asset(
            documents.PDF_PAIRS,
            "shared",
            "Every figure of the documents of one hash bucket with caption, context and call-outs.",
            kinds={"pdf", "parquet"},
            partitions=DOCUMENT_BUCKETS,
        ),
        stage_asset(
            figure_kinds.FIGURE_KINDS,
            "shared",
            "Classifier of figures: satellite, map, diagram, photograph, other; recall on pictures it has not seen.",
            kinds={"scikitlearn"},
        ),
        stage_asset(
            pair_dataset.PAIR_DATASET,
            "shared",
            "Image-text pairs for the domain CLIP: satellite chips only, duplicates removed, balanced, rejects kept with reasons.",
            deps=[key("shared", "pdf_pairs"), key("shared", "figure_kinds")],
            kinds={"parquet"},
        ),
    ]

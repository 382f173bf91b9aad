"""Documents -> pairs -> the pair dataset. Shared by both modalities."""

from dagster import AssetsDefinition

from assets.partitions import DOCUMENT_BUCKETS
from assets.stage_asset import key, stage_asset
from ovd_platform.flow import documents


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
            documents.PAIR_DATASET,
            "shared",
            "Image-text pairs for the domain CLIP: satellite chips only, duplicates removed, rejects kept with reasons.",
            deps=[key("shared", "pdf_pairs")],
            kinds={"parquet"},
        ),
    ]

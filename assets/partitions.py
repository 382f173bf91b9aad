"""Partition sets. A partition is a scene, a document bucket, a target class or a release; never a tile."""

from dagster import DynamicPartitionsDefinition, StaticPartitionsDefinition

from ovd_platform.flow.documents import BUCKETS, bucket_name

SCENES = {
    "optical": DynamicPartitionsDefinition(name="optical_scenes"),
    "sar": DynamicPartitionsDefinition(name="sar_scenes"),
}
TARGETS = {
    "optical": DynamicPartitionsDefinition(name="optical_targets"),
    "sar": DynamicPartitionsDefinition(name="sar_targets"),
}
RELEASES = {
    "optical": DynamicPartitionsDefinition(name="optical_releases"),
    "sar": DynamicPartitionsDefinition(name="sar_releases"),
}
DOCUMENT_BUCKETS = StaticPartitionsDefinition([bucket_name(number) for number in range(BUCKETS)])


def set_name(kind: str, modality: str) -> str:
    """Name of a dynamic partition set: ``optical_scenes``."""
    return f"{modality}_{kind}"

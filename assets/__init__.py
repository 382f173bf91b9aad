"""The asset graph: thin Dagster layers over `ovd_platform.flow`, one module a part of the flow. Nothing here computes."""

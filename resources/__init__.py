"""Dagster resources: the few things an asset body is handed. Belongs here: wiring. Does not belong here: computing."""

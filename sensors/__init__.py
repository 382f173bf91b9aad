"""Dagster sensors: they notice, the graph decides. Belongs here: cursors and ticks. Does not belong here: computing."""

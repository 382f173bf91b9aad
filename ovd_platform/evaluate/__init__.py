"""Measures what the platform answers against exact labels, scene by scene after merging, and writes the report.

Belongs here: metrics, their intervals, pictures of errors, the report, the comparison and the gate. Does not belong here:
anything that changes a model, a threshold or a detection.
"""

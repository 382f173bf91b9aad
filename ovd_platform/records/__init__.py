"""Frozen records that cross stage borders, checked when made. One concept, one module; no logic beyond validation."""

"""Synthetic training data: object chips, composites at native depth, quality gates. Every output is marked synthetic."""

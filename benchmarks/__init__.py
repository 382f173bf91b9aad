"""Commands that print the figures this project claims. Run `uv run python -m benchmarks` for the list."""

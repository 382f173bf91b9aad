"""Training loops and recipes: every one time- or step-limited, resumable, deterministic in its seed and steps."""

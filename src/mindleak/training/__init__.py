"""Training loops, checkpoints, history."""

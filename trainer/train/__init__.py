"""The loop that moves a model's weights, and what keeps it safe: ranks, guards, checkpoints, metrics."""

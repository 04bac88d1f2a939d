"""The plan: which document stands in which row of which step, compiled window by window ahead of training."""

"""Losses: pure functions of a model and a batch that return a sum and what it is to be divided by."""

"""Language and quality classifiers: train, evaluate, apply."""

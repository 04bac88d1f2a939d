"""What a model knows: bits per byte, multiple choice by log-likelihood, needles in a haystack."""

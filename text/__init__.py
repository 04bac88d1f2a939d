"""Normalisation, word and sentence segmentation by language, n-grams."""

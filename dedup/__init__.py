"""Exact and near duplicates: keys, signatures, exchange, components."""

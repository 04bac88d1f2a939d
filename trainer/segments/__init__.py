"""Sealed token arrays: made once from data and a tokenizer, verified block by block where they are read."""

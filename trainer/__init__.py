"""From curated shards to a trained model, every token accounted for. Needs the extra `trainer` (torch)."""

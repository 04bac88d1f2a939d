"""From text to token ids and back: trained here, or brought along as a tokenizer.json."""

"""The decoder, its attention and loss, its way to Hugging Face and back, its memory and its generation."""

"""The special tokens of our own vocabularies, and the chat template that is made of them."""

EOS = "<|endoftext|>"
START = "<|im_start|>"
END = "<|im_end|>"
PAD = "<|pad|>"

SPECIAL = (EOS, START, END, PAD, "<think>", "</think>", *(f"<|reserved_{i}|>" for i in range(10)))
"""Ids 0 to 15 of every vocabulary of ours, whatever its size; the reserved ones are for later stages' markers."""

KNOWN_EOS = (EOS, "<|end_of_text|>", "</s>", "<eos>")
"""What ends a document in tokenizers that say it nowhere: GPT-2's and Qwen's, Llama 3's, Llama 2's, Gemma's."""

TURN_ENDS = (END, "<|eot_id|>", "<end_of_turn>")
"""What ends a turn in the chat templates of Qwen and ours, Llama 3, and Gemma."""

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{{ '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML, without a system turn that nobody wrote. `generation` marks what the assistant is to learn, for us and for
transformers alike; contents are taken as they are, not trimmed."""

"""The special tokens of our own vocabularies, and the chat template that is made of them."""

from collections.abc import Container

EOS = "<|endoftext|>"
START = "<|im_start|>"
END = "<|im_end|>"
PAD = "<|pad|>"
THINK = "<think>"
THOUGHT = "</think>"
"""Around what an assistant thinks before it answers."""

SPECIAL = (EOS, START, END, PAD, THINK, THOUGHT, *(f"<|reserved_{i}|>" for i in range(10)))
"""Ids 0 to 15 of every vocabulary of ours, whatever its size; the reserved ones are for later stages' markers."""

KNOWN_EOS = (EOS, "<|end_of_text|>", "</s>", "<eos>")
"""What ends a document in tokenizers that say it nowhere: GPT-2's and Qwen's, Llama 3's, Llama 2's, Gemma's."""

_REASONING = (
    "{% if message['reasoning_content'] %}{{ '<think>' + message['reasoning_content'] + '</think>' }}{% endif %}"
)
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}" + _REASONING + "{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{{ '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML, without a system turn that nobody wrote, and with an assistant's reasoning in every turn, so that what was
learnt there is what is generated. `generation` marks what the assistant is to learn, for us and for transformers alike;
contents are taken as they are, not trimmed."""


def chatml(tokens: Container[str]) -> str:
    """ChatML for a vocabulary with these special tokens; without reasoning, or empty, where it lacks the marks."""
    if START not in tokens or END not in tokens:
        return ""
    return CHATML if THINK in tokens and THOUGHT in tokens else CHATML.replace(_REASONING, "")

"""Tokenizers built like well-known ones, trained on a few lines: what a tokenizer.json brought along may be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from schemas.training import TokenizerSpec
from trainer.tokenizer import bpe
from trainer.tokenizer import tokenizer as own

TEXTS = [
    "The cat sat on the mat.\n\nThen the 12 cats sat on 345 mats, didn't they?  They did!\n",
    "고양이가 의자에 앉았다. 고양이는 의자를 좋아한다.\n고양이 12마리가 의자 345개에 앉았다 ㅋㅋㅋ\n",
    "def f(x):\n    return x + 1\n\n\n\nprint(f(2026))\tuser assistant system\n",
    "naïve café — “quotes” … 👍🏽 日本語 mixed",
] * 20

TRICKY = [
    "",
    " ",
    "plain words",
    "  leading and trailing  ",
    "\n\nlines\r\n\r\n  indented\n",
    "숫자 1234567과 한국어, AI는 API를",
    "e\u0301 가각 \u1112\u1161\u11ab \u0301",
    "👍🏽 👨‍👩‍👧‍👦 🇰🇷",
    "tab\tnul\x00 nbsp\xa0 zero\u200bwidth \ufeff \ufffd",
    "日本語の文と中文",
    "<0x0A> ▁under <unk> <mask>",
    "x" * 3000,
]
"""Texts that hold no special token of any look-alike but `<unk>` and `<mask>`."""


def ours() -> bytes:
    """Trained here."""
    return bpe.train(TEXTS, TokenizerSpec(vocab_size=400))


def llama3() -> bytes:
    """A cut into words and up to three digits, bytes, whole words looked up before merging, BOS by a template."""
    backend = Tokenizer(models.BPE(ignore_merges=True))
    cut = bpe.CUTS.replace(r"\p{N}|", r"\p{N}{1,3}|")
    backend.pre_tokenizer = _bytes_after(cut)
    backend.decoder = decoders.ByteLevel()
    _train(backend, [])
    names = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    bos = backend.token_to_id("<|begin_of_text|>")
    backend.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|begin_of_text|> $A",
                pair="<|begin_of_text|> $A <|begin_of_text|> $B",
                special_tokens=[("<|begin_of_text|>", bos)],
            ),
        ]
    )
    return backend.to_str().encode()


def qwen2() -> bytes:
    """NFC, a cut with single digits, bytes, no BOS; special tokens last, and an added one that is not special."""
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = _bytes_after(bpe.CUTS)
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    backend.decoder = decoders.ByteLevel()
    _train(backend, [])
    names = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    backend.add_tokens([AddedToken("<tool_call>", special=False, normalized=False)])
    return backend.to_str().encode()


def gemma() -> bytes:
    """Blanks as ▁, cuts at line breaks alone, bytes for what is unknown, BOS by a template, special tokens first."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"]
    backend = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    fallback = [f"<0x{n:02X}>" for n in range(256)]
    _train(backend, [*special, *fallback])
    backend.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    told = json.loads(backend.to_str())
    told["added_tokens"] = [token for token in told["added_tokens"] if token["content"] not in fallback]
    backend = Tokenizer.from_str(json.dumps(told))
    backend.add_tokens([AddedToken("\n" * n, special=False, normalized=False) for n in (1, 2, 3)])
    return backend.to_str().encode()


NAMES: dict[str, dict[str, Any]] = {
    "ours": {},
    "llama3": {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"},
    "qwen2": {"bos_token": None, "eos_token": "<|endoftext|>", "pad_token": {"content": "<|endoftext|>"}},
    "gemma": {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"},
}
"""What their tokenizer_config.json says."""
MAKERS: dict[str, Callable[[], bytes]] = {"ours": ours, "llama3": llama3, "qwen2": qwen2, "gemma": gemma}


def write(folder: Path, name: str, **config: Any) -> Path:
    """A folder as it comes from a hub."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_bytes(MAKERS[name]())
    if told := NAMES[name] | config:
        (folder / "tokenizer_config.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def load(folder: Path, name: str, **config: Any) -> own.Tokenizer:
    """The same, read by us."""
    return own.Tokenizer.load(write(folder, name, **config))


def _bytes_after(cut: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(cut), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _train(backend: Tokenizer, special: list[str]) -> None:
    alphabet = [] if special else sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(TEXTS, trainer)

"""Trains a byte-level BPE by Hugging Face's `tokenizers`.

Text is brought to NFC, cut into pre-tokens, and merged within each as UTF-8 bytes, so nothing is unknown. NFC and the
cutting are Qwen 2's (https://huggingface.co/Qwen/Qwen2-7B, tokenizer.json), for these reasons, with the figures of
`bpe_bench.py` for 24,000 ids on 2 MB of Korean and English pages:

- Every digit is a pre-token, so a token: a number is read place by place, as arithmetic needs it. Groups of up to three
  (Llama 3's) cut 1234 as 123|4, so that a digit's place depends on how many follow. That costs 1.2-1.4 % of bytes a
  token.
- A Hangul word stays one pre-token with its particle (학교에서), and merges find stem and particle by frequency. A
  cut between Hangul, jamo and other letters (AI|는, 재밌다|ㅋㅋ) was tried: bytes a token changed by less than 0.1 %.
- Syllables that come as separate jamo (macOS's NFD) take 9 bytes each and would be other tokens than the same word in
  any other file. NFC makes them one; ids decode to the NFC form of the text, the canonically equal one.
- Beside a qwen2 config.json transformers 5 puts NFC and these very cuts in place of whatever tokenizer.json says. With
  them an exported model of any family reads text by the ids it was trained on.

Bytes a token there: Korean 4.88, English 3.87; with GPT-2's cuts 4.83 and 3.88.
"""

from collections.abc import Iterable, Iterator

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from schemas.training import TokenizerSpec
from trainer.errors import TrainerError
from trainer.tokenizer.special import SPECIAL

CUTS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"  # English contractions
    r"|[^\r\n\p{L}\p{N}]?\p{L}+"  # a word with the blank, or one other character, before it
    r"|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LONGEST = 64
"""Characters of a pre-token in training. Its time grows with the square of a pre-token's length: 100 kB of Hangul
without a blank, as crawled text may hold, take a minute. Encoding's does not, so there nothing is cut."""


def train(texts: Iterable[str], spec: TokenizerSpec) -> bytes:
    """Trains a vocabulary on texts and returns its tokenizer.json.

    Equal texts in any order give equal bytes with the same `tokenizers`, on any number of threads. The vocabulary is
    smaller than asked for where the texts hold too few pairs that occur twice.

    Raises:
      TrainerError: `spec.vocab_size` leaves no room for the special tokens and the 256 bytes, or there is no text.
    """
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if spec.vocab_size < len(SPECIAL) + len(alphabet):
        raise TrainerError(
            f"tokenizer.vocab_size {spec.vocab_size!r} has no room for {len(SPECIAL)} special tokens and "
            f"{len(alphabet)} bytes; give at least {len(SPECIAL) + len(alphabet)}"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = _pre_tokenizer(pre_tokenizers.Split(Regex(f"(?m:.{{1,{LONGEST}}})"), "isolated"))
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=spec.vocab_size,
        min_frequency=2,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL],
        initial_alphabet=sorted(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_some(texts), trainer)
    tokenizer.pre_tokenizer = _pre_tokenizer()
    return tokenizer.to_str().encode()


def _pre_tokenizer(*cuts: pre_tokenizers.PreTokenizer) -> pre_tokenizers.PreTokenizer:
    """Qwen 2's cuts, further ones, then bytes as characters."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CUTS), "isolated"),
            *cuts,
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _some(texts: Iterable[str]) -> Iterator[str]:
    """The texts; none at all is an error."""
    some = False
    for text in texts:
        some = some or bool(text.strip())
        yield text
    if not some:
        raise TrainerError("there is no text to train a tokenizer on; are the sources, or their conditions, empty?")

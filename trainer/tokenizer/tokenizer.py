"""A tokenizer.json, ours or one brought along, as the trainer uses it.

Text is encoded in two ways that differ in one thing, what becomes of a special token's name inside the text:

- `encode_documents` and `encode_texts` are for training. Crawled text is hostile: a page that says `<|endoftext|>` gets
  the ids of those thirteen characters, never the special id. Marks that the chat template writes count as special,
  for some tokenizers (DeepSeek R1's distillates) don't call those that begin a turn so; other added tokens, such as
  words and runs of blanks, are text's.
- `encode` is for evaluation and use. It gives what `AutoTokenizer` gives by default on the exported folder: names of
  special tokens become their ids, and whatever the post-processor adds is added.

Truncation and padding that a tokenizer.json may hold act in neither.
"""

import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from storage.errors import MissingError
from storage.paths import join, open_read
from trainer.errors import TrainerError
from trainer.tokenizer import turns
from trainer.tokenizer.special import KNOWN_EOS, PAD, chatml

Ids = NDArray[np.uint16] | NDArray[np.uint32]

TOKENIZER = "tokenizer.json"
CONFIG = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
ENDS = "end_ids"
"""Our key for ends that were given; transformers passes over it."""
ROLES = ("bos_token", "eos_token", "pad_token")


def _one_thread() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


# A forked process has none of its parent's threads; where the variable says true, tokenizers would wait for them.
os.register_at_fork(after_in_child=_one_thread)


class Tokenizer:
    """Encodes and decodes; the same in every thread and process, however it got there (pickled, forked, loaded).

    Attributes:
      json: tokenizer.json, to the byte as it was given.
      sha256: of `json`.
      bos_id: what the tokenizer itself puts before a text, None where that is nothing.
      eos_id: what ends a document.
      end_ids: what ends an answer: `eos_id`, the token that the chat template closes one with, and those given.
      pad_id: None where none is named.
      largest_id: added tokens included.
      dtype: uint16 where every id fits, else uint32.
      special_tokens: those called so, and added marks that the chat template writes.
      special: their names and ids.
      names: bos_token, eos_token, pad_token, as far as there are any.
      chat_template: Jinja; ours where the tokenizer brings none but knows its tokens; else empty.
    """

    def __init__(
        self,
        raw: bytes,
        names: Mapping[str, str] | None = None,
        chat_template: str = "",
        where: str = TOKENIZER,
        ends: Collection[int] = (),
    ) -> None:
        """Reads a tokenizer.

        Args:
          raw: tokenizer.json.
          names: role (`ROLES`) to token.
          chat_template: what the tokenizer brings; ours stands in for an empty one.
          where: file, for errors.
          ends: ids that end an answer besides; only those of added tokens count.

        Raises:
          TrainerError: it can't be read, is random, names tokens it does not hold, or can't keep text and special
            tokens apart.
        """
        self.json, self.sha256, self.where = raw, hashlib.sha256(raw).hexdigest(), where
        self._plain = _backend(raw, where)
        self._plain.encode_special_tokens = True
        self._whole: Backend | None = None
        if not self._plain.get_vocab_size(with_added_tokens=True):
            raise TrainerError(f"{where!r} holds no token; give a tokenizer.json that was trained")
        self.largest_id = max(self._plain.get_vocab(with_added_tokens=True).values())
        self.dtype: np.dtype[Any] = np.dtype(np.uint16 if self.largest_id <= np.iinfo(np.uint16).max else np.uint32)
        added = self._plain.get_added_tokens_decoder()
        self.special = {token.content: number for number, token in added.items() if token.special}
        self.names = dict(names or {})
        if "eos_token" not in self.names:
            self.names["eos_token"] = self._guess_eos()
        self.eos_id = self._id("eos_token", self.names["eos_token"])
        self.bos_id = self._added_before()
        self.pad_id = self._pad()
        self._given_template = chat_template
        self.chat_template = chat_template or chatml(self.special)
        self.special_tokens = self._set_apart(added)
        self._keeps_text_apart()
        learnt = self._learnt_ends()
        # a configuration may name ids that are words here: LlamaConfig's own eos_token_id is 2
        self._given_ends = tuple(sorted({number for number in ends if number in added} - {*learnt}))
        self.end_ids = (*learnt, *self._given_ends)

    def __reduce__(self) -> tuple[Any, ...]:
        # the backend's own pickling forgets encode_special_tokens
        return type(self), (self.json, self.names, self._given_template, self.where, self._given_ends)

    @classmethod
    def from_json(cls, raw: bytes, *, eos: str = "") -> "Tokenizer":
        """A tokenizer.json in memory, such as `bpe.train` makes. Raises what the constructor raises."""
        return cls(raw, {"eos_token": eos} if eos else None)

    @classmethod
    def load(cls, path: str | Path, *, eos: str = "", ends: Collection[int] = ()) -> "Tokenizer":
        """A tokenizer.json, or a folder with one, wherever storage reaches.

        Names and the chat template come from tokenizer_config.json and chat_template.jinja beside it, where there are.

        Args:
          path: file or folder.
          eos: token that ends a document, over whatever the configuration names.
          ends: as the constructor has them, besides those that the configuration names.

        Raises:
          TrainerError: there is none, or what the constructor raises.
          StorageError: it can't be read.
        """
        named = str(path).endswith(".json") or Path(path).is_file()
        file = str(path) if named else join(str(path), TOKENIZER)
        folder = file.rpartition("/")[0] or "."
        raw = _read(file)
        if raw is None:
            raise TrainerError(f"no tokenizer at {file!r}; give a tokenizer.json or the folder that holds one")
        names, template, own_ends = _configuration(join(folder, CONFIG))
        if (own := _read(join(folder, TEMPLATE))) is not None:
            template = _decoded(own, join(folder, TEMPLATE))
        return cls(raw, names | ({"eos_token": eos} if eos else {}), template, file, (*own_ends, *ends))

    def encode(self, text: str) -> list[int]:
        """Ids as `AutoTokenizer.from_pretrained(folder)(text)["input_ids"]` of the exported folder."""
        return self._with_special().encode(text).ids

    def encode_whole(self, text: str) -> list[int]:
        """As `encode`, but nothing is added: what transformers makes of a rendered chat."""
        return self._with_special().encode(text, add_special_tokens=False).ids

    def encode_prompt(self, text: str) -> list[int]:
        """As `encode`, without an EOS that the tokenizer adds behind a text: what a model is to go on with."""
        before = [] if self.bos_id is None else [self.bos_id]
        return before + self.encode_whole(text)

    def encode_text(self, text: str) -> list[int]:
        """Ids of the text alone: nothing added, no special id."""
        return self._plain.encode(text, add_special_tokens=False).ids

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """The same of many, on several threads."""
        return [found.ids for found in self._plain.encode_batch_fast(texts, add_special_tokens=False)]

    def encode_documents(self, texts: Sequence[str]) -> list[Ids]:
        """[BOS where the tokenizer adds one] text EOS, a document each, of `dtype`; no other special id."""
        before = [] if self.bos_id is None else [self.bos_id]
        return [np.array([*before, *ids, self.eos_id], self.dtype) for ids in self.encode_texts(texts)]

    def decode(self, ids: Sequence[int]) -> str:
        """Text, special tokens by their names."""
        return self._plain.decode(list(ids), skip_special_tokens=False)

    def tokens(self) -> dict[int, str]:
        """Every id and how the vocabulary writes it."""
        return {number: token for token, number in self._plain.get_vocab(with_added_tokens=True).items()}

    @property
    def config(self) -> bytes:
        """tokenizer_config.json: special tokens by their roles, the chat template, and ends that were given."""
        config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
        config |= {role: self.names[role] for role in ROLES if role in self.names}
        if self.chat_template:
            config["chat_template"] = self.chat_template
        if self._given_ends:
            config[ENDS] = list(self._given_ends)
        return (json.dumps(config, ensure_ascii=False, indent=2) + "\n").encode()

    def save(self, folder: Path) -> None:
        """Writes tokenizer.json and tokenizer_config.json, so that `AutoTokenizer` reads the same from the folder.

        Beside a config.json of Qwen 2 it may read otherwise: `qwen2.is_read_as_it_is`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TOKENIZER).write_bytes(self.json)
        (folder / CONFIG).write_bytes(self.config)

    @property
    def unknown_id(self) -> int | None:
        """What stands for characters that no token can say, None where there is no such id."""
        number = self._plain.token_to_id(self._unknown)
        return None if number is None else int(number)

    @property
    def _unknown(self) -> str:
        return getattr(self._plain.model, "unk_token", None) or "<unk>"

    def _with_special(self) -> Backend:
        """The second reading; few processes need both, and a vocabulary of 200,000 takes 100 MB."""
        if self._whole is None:
            self._whole = _backend(self.json, self.where)
        return self._whole

    def _id(self, role: str, token: str) -> int:
        number = self._plain.token_to_id(token)
        if number is None:
            raise TrainerError(f"{self.where!r} holds no token {token!r}, which is to be its {role}")
        return int(number)

    def _guess_eos(self) -> str:
        for token in KNOWN_EOS:
            if token in self.special:
                return token
        raise TrainerError(
            f"nothing tells which token of {self.where!r} ends a document: there is no eos_token in a {CONFIG} beside "
            f"it, and none of {', '.join(KNOWN_EOS)} is among its special tokens {sorted(self.special)[:20]}; name it"
        )

    def _pad(self) -> int | None:
        if "pad_token" not in self.names and PAD in self.special:
            self.names["pad_token"] = PAD
        return self._id("pad_token", self.names["pad_token"]) if "pad_token" in self.names else None

    def _added_before(self) -> int | None:
        """The BOS, found by looking what surrounds a text; sees that it is no more than BOS and EOS."""
        letter, whole = self.encode_text("a"), self.encode("a")
        at = next((n for n in range(len(whole)) if whole[n : n + len(letter)] == letter), len(whole))
        before, after = whole[:at], whole[at + len(letter) :]
        if len(before) > 1 or after not in ([], [self.eos_id]):
            raise TrainerError(
                f"{self.where!r} makes {whole!r} of the text 'a', {letter!r}; a document is [BOS] text EOS "
                f"({self.eos_id!r}), so at most one token before and EOS after it can be"
            )
        if "bos_token" in self.names:
            self._id("bos_token", self.names["bos_token"])
        elif before:
            self.names["bos_token"] = str(self._plain.id_to_token(before[0]))
        return before[0] if before else None

    def _set_apart(self, added: Mapping[int, AddedToken]) -> tuple[AddedToken, ...]:
        """Tokens that no text may become; those that the template writes are made special, under the ids they have."""
        own = turns.own_tokens(self.chat_template, self.names, [token.content for token in added.values()])
        apart = {number: token for number, token in added.items() if token.special or token.content in own}
        self._plain.add_special_tokens(list(apart.values()))
        self.special = {token.content: number for number, token in apart.items()}
        return tuple(apart.values())

    def _learnt_ends(self) -> tuple[int, ...]:
        """EOS, and what the template closes an answer with."""
        end = turns.answer_end(self.chat_template, self.names, self.special)
        return tuple(dict.fromkeys((self.eos_id, self.eos_id if end is None else self.special[end])))

    def _keeps_text_apart(self) -> None:
        """Vocabularies may reach a special token by merging its characters; no text could be trusted then."""
        names = sorted({*self.special, *self.names.values()} - {self._unknown})
        for name, ids in zip(names, self.encode_texts(names), strict=True):
            if self._plain.token_to_id(name) in ids:
                raise TrainerError(
                    f"{self.where!r} makes the special token {name!r} out of ordinary text that reads so; "
                    "text from the web could end documents or speak for others; use another tokenizer"
                )


def _backend(raw: bytes, where: str) -> Backend:
    try:
        backend = Backend.from_buffer(raw)
    except ValueError as error:
        raise TrainerError(f"{where!r} is no tokenizer.json: {error}; give one, or a folder that holds it") from error
    if getattr(backend.model, "dropout", None):
        raise TrainerError(
            f"{where!r} has dropout {backend.model.dropout!r}: equal texts would get unequal ids; set null"
        )
    backend.no_truncation()
    backend.no_padding()
    return backend


def _configuration(path: str) -> tuple[dict[str, str], str, list[int]]:
    """Names by role, the chat template and given ends of a tokenizer_config.json; nothing where there is none."""
    raw = _read(path)
    if raw is None:
        return {}, "", []
    try:
        config = json.loads(raw)
    except ValueError as error:
        raise TrainerError(f"{path!r} is no JSON: {error}") from error
    if not isinstance(config, dict):
        raise TrainerError(f"{path!r} holds {str(config)[:80]!r}, not a mapping")
    names = {}
    for role in ROLES:
        token = config.get(role)
        token = token.get("content") if isinstance(token, Mapping) else token
        if isinstance(token, str):
            names[role] = token
    template = config.get("chat_template")
    if isinstance(template, list):  # several, by name
        template = {entry.get("name"): entry.get("template") for entry in template}.get("default")
    ends = config.get(ENDS)
    ends = [number for number in ends if type(number) is int] if isinstance(ends, list) else []
    return names, template if isinstance(template, str) else "", ends


def _decoded(raw: bytes, path: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise TrainerError(f"{path!r} is no UTF-8: {error}; save it as UTF-8, or leave it out") from error


def _read(path: str) -> bytes | None:
    try:
        with open_read(path) as file:
            return file.read()
    except MissingError:
        return None

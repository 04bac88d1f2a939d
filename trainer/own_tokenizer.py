"""A run's own tokenizer: trained on a sample of its data, and kept."""

import itertools
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from schemas.chat import Conversation, Preference
from schemas.training import TrainingSpec
from trainer.chat.importers import read_conversations, read_preferences
from trainer.corpus import sample_rows
from trainer.materials import generated
from trainer.tokenizer import bpe
from trainer.tokenizer.tokenizer import Tokenizer


def trained(spec: TrainingSpec, data: Mapping[str, str]) -> Tokenizer:
    """One trained on a sample of the recipe's sources."""
    return Tokenizer.from_json(bpe.train(sample_texts(spec, data), spec.tokenizer))


def kept(folder: Path, make: Callable[[], Tokenizer]) -> Tokenizer:
    """The tokenizer that stands in a folder; made and saved where there is none. Killed, it leaves all or nothing."""
    if not folder.exists():
        half = folder.with_name(f".{folder.name}")
        shutil.rmtree(half, ignore_errors=True)
        make().save(half)
        half.rename(folder)
    return Tokenizer.load(folder)


def sample_texts(spec: TrainingSpec, data: Mapping[str, str]) -> Iterator[str]:
    """About `tokenizer.texts` texts, equally many of each data, chosen by hash; conversations give their contents."""
    origins = {(source.kind, source.data, source.generate): source for source in spec.sources.values()}
    share = -(-spec.tokenizer.texts // len(origins))
    for source in origins.values():
        if source.kind == "text" and not source.generate:
            yield from (text for _, text in sample_rows(data[source.data], share, spec.seed))
            continue
        items: Iterable[str | Conversation | Preference]
        if source.generate:
            items = generated(source, spec.seed)
        else:
            read = read_conversations if source.kind == "chat" else read_preferences
            items = read(data[source.data])
        yield from (_contents(item) for item in itertools.islice(items, share))


def _contents(item: str | Conversation | Preference) -> str:
    if isinstance(item, str):
        return item
    messages = item.messages if isinstance(item, Conversation) else (*item.prompt, item.chosen, item.rejected)
    texts = (text for message in messages for text in (message.reasoning_content, message.content))
    return "\n".join(filter(None, texts))

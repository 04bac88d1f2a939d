"""Conversations and preferences out of files, whatever common form they have."""

from collections.abc import Iterator

from schemas.chat import Conversation, Preference
from trainer.chat.formats import conversation, preference
from trainer.chat.jsonl import rows


def read_conversations(path: str, sha256: str = "") -> Iterator[Conversation]:
    """Conversations of a JSONL file (plain, .gz, .zst), of a glob's files, or of a folder's, in order of name and line.

    Args:
      path: file, glob or folder, wherever storage reaches. `trainer.chat.formats` says which forms a line may have.
      sha256: of one file, what it must hold; empty: anything.

    Raises:
      IntegrityError: the file holds something else.
      TrainerError: a line that is no conversation, or one without an answer; it names file, line and value.
      StorageError: a file can't be read.
    """
    return map(conversation, rows(path, sha256))


def read_preferences(path: str, sha256: str = "") -> Iterator[Preference]:
    """Preferences, as `read_conversations` reads conversations."""
    return map(preference, rows(path, sha256))

"""Marks of sealed segments: by them work goes on after a stop, is shared by processes, and is taken over by others."""

from pydantic import BaseModel, ConfigDict

from schemas.segments import SegmentEntry
from storage.commit import create_exclusive, replace_atomic
from storage.errors import MissingError
from storage.paths import join
from trainer import checksum

FOLDER = "marks"


class Mark(BaseModel):
    """One sealed segment of a unit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    segment: SegmentEntry | None
    """None: the unit holds no document."""
    rows: int
    """Of the unit that it holds."""
    last: bool
    """Whether the unit ends with it."""


def name(unit: str, number: int) -> str:
    """What the files of a unit's segment are called; a unit goes by the sha256 of what it is."""
    return f"{unit[:32]}-{number:03d}"


def standing(folder: str, unit: str) -> list[Mark]:
    """A unit's marks, in order: the last one has `last` where the unit is finished.

    Raises:
        IntegrityError: One is damaged.
        StorageError: They can't be read.
    """
    found: list[Mark] = []
    while not found or not found[-1].last:
        path = _path(folder, unit, len(found))
        try:
            told = checksum.read(path)
        except MissingError:
            break
        found.append(Mark.model_validate_json(told))
    return found


def put(folder: str, unit: str, number: int, mark: Mark) -> bool:
    """Marks a segment as sealed; False where another process did so before.

    Raises:
        StorageError: No room, or the store refuses.
    """
    return create_exclusive(_path(folder, unit, number), _told(mark))


def replace(folder: str, unit: str, number: int, mark: Mark) -> None:
    """Marks a segment that was sealed again, its files having been lost.

    Raises:
        StorageError: No room, or the store refuses.
    """
    replace_atomic(_path(folder, unit, number), _told(mark))


def _told(mark: Mark) -> bytes:
    return checksum.append(mark.model_dump_json().encode())


def _path(folder: str, unit: str, number: int) -> str:
    return join(folder, FOLDER, f"{name(unit, number)}.json")

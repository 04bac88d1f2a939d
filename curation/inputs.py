"""What a run is to read: from patterns, lists and index files to the sources behind them."""

import gzip
import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, pairwise, takewhile

from curation.formats import format_of
from curation.index import check_where, is_index
from curation.readers import FormatError, NoTextError
from schemas.tasks import COMMON_CRAWL, Format, Source
from storage.errors import DeniedError, PathError, StorageError
from storage.paths import FileInfo, expand, info, is_local, open_read

_LISTS = (".paths", ".paths.gz")
_DUMP = re.compile(r"CC-MAIN-\d{4}-\d{2,4}(?!\d)")
_LOOKUPS = 32
"""Files of a list that are asked for at once: a snapshot's list names 90,000."""


class InputsError(ValueError):
    """The inputs can't be read as given: one line that says which, why, and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """The inputs of a run.

    Attributes:
      sources: all input files, by name.
      root: the deepest folder that holds them all; names of files lie below it. Empty for files of lists.
      indexes: those of `sources` that are no pages but say where pages are: Common Crawl's columnar index.
      where: the DuckDB condition on the rows of `indexes`; empty for all rows.
      prefix: laid before the file names in `indexes`.
      dump: the dump's name; empty where paths tell.
    """

    sources: tuple[Source, ...]
    root: str = ""
    indexes: tuple[Source, ...] = ()
    where: str = ""
    prefix: str = COMMON_CRAWL
    dump: str = ""


def resolve(patterns: Sequence[str], *, prefix: str = COMMON_CRAWL, dump: str = "", where: str = "") -> Given:
    """Finds the files behind patterns.

    Args:
      patterns: paths, globs or URLs of files; a name that ends in `.paths` or `.paths.gz` is a list, one path a line.
      prefix: laid before the lines of a list and the file names of an index, unless they are URLs already.
      dump: the dump's name; empty to take it from the paths (`CC-MAIN-2024-10`).
      where: a DuckDB condition on the rows of index files.

    Raises:
      InputsError: nothing is given, a list is empty, a format is unknown, a table has no `text`, two files have one
        name, a path is a folder or may not be read, or `where` is wrong or has no index to act on.
      MissingError: a file is missing or a glob matches nothing.
      StorageError: a store can't be reached.
    """
    try:
        return _resolved(patterns, prefix, dump, where)
    except (PathError, DeniedError) as error:
        raise InputsError(str(error)) from error


def _resolved(patterns: Sequence[str], prefix: str, dump: str, where: str) -> Given:
    listed: list[tuple[str, str]] = []
    files: list[FileInfo] = []
    for pattern in patterns:
        if pattern.endswith(_LISTS):
            listed += _lines(pattern, prefix)
        else:
            files += map(_absolute, expand(pattern))
    files = list({file.path: file for file in files}.values())
    root = common_folder([file.path for file in files])
    named = chain(_look_up(listed), ((file.path[len(root) :], file) for file in files))
    sources = tuple(sorted((_source(name, file, dump) for name, file in named), key=lambda source: source.name))
    if not sources:
        raise InputsError("no input: give files, globs, URLs or lists of paths")
    _check_names(sources)
    indexes = tuple(source for source in sources if source.format is Format.PARQUET and _is_index(source))
    if where and not indexes:
        raise InputsError(f"the condition {where!r} (--where) selects rows of an index, and no input file is one")
    try:
        check_where(indexes, where)
    except ValueError as error:
        raise InputsError(str(error)) from error
    return Given(sources=sources, root=root, indexes=indexes, where=where, prefix=prefix, dump=dump)


def source_at(path: str, *, name: str = "", dump: str = "") -> Source:
    """The source of a single file, named by its last part unless told otherwise.

    Raises:
      InputsError: its format is unknown.
      StorageError: it is missing.
    """
    return _source(name or path.rpartition("/")[2], info(path), dump)


def dump_of(path: str) -> str:
    """The name of the Common Crawl dump that a path lies in, empty where it does not tell."""
    match = _DUMP.search(path)
    return match[0] if match else ""


def common_folder(paths: Sequence[str]) -> str:
    """The deepest folder that holds all paths, with its last `/`; empty where there is none."""
    folders = [path.split("/")[:-1] for path in paths]
    if not folders:
        return ""
    pairs = zip(min(folders), max(folders), strict=False)  # what these two share, all share
    return "".join(f"{one}/" for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def with_prefix(prefix: str, line: str) -> str:
    """The path that a list's line or an index's file name stands for."""
    if "://" in line or not prefix:
        return line
    return f"{prefix.rstrip('/')}/{line.lstrip('/')}"


def _lines(path: str, prefix: str) -> list[tuple[str, str]]:
    """(line, path) of each entry of a list."""
    with open_read(path) as handle:
        raw = handle.read()
    try:
        text = (gzip.decompress(raw) if path.endswith(".gz") else raw).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputsError(f"the list {path!r} can't be read: {error}; it should hold one path a line") from error
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    if not lines:
        raise InputsError(f"the list {path!r} names no file; it should hold one path a line")
    return [(line, with_prefix(prefix, line)) for line in dict.fromkeys(lines)]


def _look_up(listed: Sequence[tuple[str, str]]) -> Iterable[tuple[str, FileInfo]]:
    """Size and tag of each file of the lists, many at once."""
    if not listed:
        return []
    pool = ThreadPoolExecutor(_LOOKUPS)
    try:
        return list(zip((line for line, _ in listed), pool.map(info, (path for _, path in listed)), strict=True))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # one missing file ends it, and so does Ctrl-C


def _absolute(file: FileInfo) -> FileInfo:
    """Workers may stand in another folder."""
    return replace(file, path=os.path.abspath(file.path)) if is_local(file.path) else file  # noqa: PTH100


def _source(name: str, file: FileInfo, dump: str) -> Source:
    try:
        file.path.encode()
    except UnicodeEncodeError as error:
        raise InputsError(
            f"{file.path!r}: its name or that of a folder above is not UTF-8, so ids can't be made of it; rename it"
        ) from error
    if is_local(file.path) and not os.access(file.path, os.R_OK):
        raise InputsError(f"cannot read {file.path!r}: its permissions do not allow it; change them, or leave it out")
    try:
        form, compression = format_of(file.path)
    except FormatError as error:
        raise InputsError(str(error)) from error
    return Source(file.path, name, file.size, file.etag, form, compression, dump or dump_of(file.path))


def _check_names(sources: Sequence[Source]) -> None:
    """Names make ids, so two files may not share one."""
    for one, other in pairwise(sources):
        if one.name == other.name:
            raise InputsError(
                f"two inputs share the name {one.name!r}: {one.path!r} and {other.path!r}; "
                f"give them in one run under a common folder, or in two runs"
            )


def _is_index(source: Source) -> bool:
    """Whether it is an index; a file that is no Parquet is none, and fails where its task reads it."""
    try:
        return is_index(source)
    except (StorageError, NoTextError) as error:
        raise InputsError(str(error)) from error
    except OSError:
        return False

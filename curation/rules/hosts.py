"""The host of a URL, and the domain under which it was registered, by the Public Suffix List.

The steps are those of tldextract 5 (which datatrove's URLFilter uses) without private suffixes, over the copy of the
list that the `tld` distribution carries, so nothing is fetched. The two copies are of different dates, as the list
grows by some entries a month.
"""

import functools
import re
from importlib.resources import files
from typing import NamedTuple

__all__ = ["Host", "host_of", "public_suffixes", "split_host"]

_DOTS = "\u3002\uff0e\uff61"
"""What stands for a dot in IDNA besides the dot."""

_SCHEME = re.compile(r"[A-Za-z0-9+.-]*")
_RULE = re.compile(r"^([.*!]*\w\S*)", re.MULTILINE)


class Host(NamedTuple):
    """What a block list is asked for. Both are empty where the host has no public suffix (IP addresses, `localhost`)
    or is one."""

    registered: str
    """`bbc.co.uk` of `news.bbc.co.uk`."""
    full: str
    """`news.bbc.co.uk`."""


def host_of(url: str) -> str:
    """The host as the URL spells it, without user, port and closing dots; brackets of an IPv6 address stay.

    Never raises. Text without a scheme counts as beginning with its host; empty where there is none.
    """
    authority = _after_scheme(url).partition("/")[0].partition("?")[0].partition("#")[0]
    authority = authority.rpartition("@")[2]
    if authority.startswith("[") and "]" in authority:
        return authority.partition("]")[0] + "]"
    return authority.partition(":")[0].strip().rstrip("." + _DOTS)


def _after_scheme(url: str) -> str:
    at = url.find("//")
    if at == 0:
        return url[2:]
    if at < 2 or url[at - 1] != ":" or not _SCHEME.fullmatch(url, 0, at - 1):
        return url
    return url[at + 2 :]


def split_host(host: str) -> Host:
    """The registered and the full domain of a host, spelled as it is there."""
    for dot in _DOTS:
        host = host.replace(dot, ".")
    labels = host.split(".")
    at = _suffix_start(labels)
    if at is None or at == 0 or not labels[at - 1]:
        return Host("", "")
    # tldextract leaves out an empty part as a whole, so `.example.com` and `example.com` are one
    below = ".".join(labels[: at - 1])
    registered = ".".join(labels[at - 1 :])
    return Host(registered, f"{below}.{registered}" if below else registered)


def _suffix_start(labels: list[str]) -> int | None:
    """Index of the public suffix's first label; None where no rule applies (there is no default rule `*`)."""
    node, at, found = public_suffixes(), len(labels), None
    for label in reversed(labels):
        key = label.lower()
        deeper = node.below.get(key)
        if deeper is not None:
            node, at = deeper, at - 1
            found = at if node.ends else found
            continue
        if "*" in node.below:
            return at if f"!{key}" in node.below else at - 1
        break
    return found


class Node:
    """A label of the suffix tree, read from the right."""

    __slots__ = ("below", "ends")

    def __init__(self) -> None:
        self.below: dict[str, Node] = {}
        self.ends = False
        """A rule ends here."""


@functools.cache
def public_suffixes() -> Node:
    """The root of the tree of ICANN's suffixes, non-ASCII labels under their IDNA form too."""
    text = files("tld").joinpath("res", "effective_tld_names.dat.txt").read_text(encoding="utf-8")
    root = Node()
    for rule in _RULE.findall(text.partition("// ===BEGIN PRIVATE DOMAINS===")[0]):
        node = root
        for label in reversed(rule.split(".")):
            node = _descend(node, label)
        node.ends = True
    return root


def _descend(node: Node, label: str) -> Node:
    if label not in node.below:
        child = node.below[label] = Node()
        if not label.isascii():
            node.below[label.encode("idna").decode("ascii")] = child
    return node.below[label]

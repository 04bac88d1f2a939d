"""One spelling of a URL: only such changes as RFC 3986 (sections 6.2.2 and 6.2.3) says keep its meaning.

In this order:

1. ASCII control characters and spaces around it are stripped.
2. The fragment is dropped: it never reaches a server.
3. Scheme and host are lower-cased.
4. A default port (`http` 80, `https` 443) and an empty one are dropped.
5. With a host, an empty path becomes `/`, and dot segments (`/./`, `/../`) are resolved.
6. Percent-encoding, in path and query: unreserved characters are decoded, hex digits upper-cased, characters that
   a URL can't hold (non-ASCII, blanks, controls) encoded as UTF-8. A `%` that begins no code stays as it is.

Kept apart on purpose, since servers may answer each otherwise: `http` and `https`, with and without `www.`, with and
without a slash at the end, upper and lower case in the path, and any query (order and tracking parameters included).
"""

import re

_PARTS = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.\-]*):)?(?://([^/?#]*))?([^?#]*)(\?[^#]*)?", re.DOTALL)
_CODE = re.compile(r"%([0-9A-Fa-f]{2})")
_OUTSIDE = re.compile(r"[^!-~]")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_AROUND = "".join(map(chr, range(0x21)))


def normalise_url(url: str) -> str:
    """The URL in its one spelling (see the module). Answers for every string, also for those that are no URL."""
    match = _PARTS.match(url.strip(_AROUND))
    assert match is not None, "every part of the pattern is optional"
    scheme, authority, path, query = match.groups()
    scheme = scheme.lower() if scheme else None
    path, query = _encoded(path), _encoded(query or "")
    if authority is not None:
        authority = f"//{_authority(authority, scheme)}"
        path = _without_dots(path) or "/"
    return f"{scheme + ':' if scheme else ''}{authority or ''}{path}{query}"


def _authority(authority: str, scheme: str | None) -> str:
    user, at, host = authority.rpartition("@")
    head, colon, port = host.rpartition(":")
    if colon and (port == "" or port == _DEFAULT_PORTS.get(scheme or "")):
        host = head
    return user + at + host.lower()


def _encoded(part: str) -> str:
    part = _OUTSIDE.sub(lambda m: "".join(f"%{b:02X}" for b in m[0].encode("utf-8", "surrogatepass")), part)
    return _CODE.sub(_code, part)


def _code(match: re.Match[str]) -> str:
    char = chr(int(match[1], 16))
    return char if char in _UNRESERVED else match[0].upper()


def _without_dots(path: str) -> str:
    """RFC 3986, section 5.2.4, for a path that is empty or begins with a slash."""
    out: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            del out[max(len(out) - 1, 1) :]  # the first is empty: what stands before the first slash
        elif segment != ".":
            out.append(segment)
    if segments[-1] in (".", ".."):
        out.append("")
    return "/".join(out)

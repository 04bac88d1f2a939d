"""MinHash: equal to datatrove to the bit, the golden partition, and the stage's contract."""

import gzip
import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.components import Components, choose_keepers, kept
from dedup.exchange import SignatureWriter, ranges, read_slice
from dedup.keepers import KEEPERS
from dedup.match import edges
from dedup.minhash import SCHEMES, MinHash, Scheme, least, permutations
from schemas.records import Document

GOLDEN = Path(__file__).parents[2].parent / "shared" / "data" / "realweb" / "minhash_clusters.jsonl.gz"

TEXTS = {
    "five_words": "one two three four five",
    "numbers_punctuation": "In 1997, 3.14 litres (about 2,5 pints!) cost $4.20 -- or so they said; nobody asked again.",
    "accents": (
        "Ærøskøbing's café naïveté: Ünïcödé, Ελληνικά and кириллица sit beside 漢字 and かな — all of it, e.g. here."
    ),
    "repeated": "na na na na na na na na Batman can't won't don't",
    "long_words": "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft " * 7,
}

# (scheme, text) -> first value, last value, and half the sha256 of all 112 as little-endian bytes, by datatrove 0.10.1
FROZEN: dict[tuple[Scheme, str], tuple[int, int, str]] = {
    ("fineweb", "five_words"): (2197995514412817304, 760320279624072686, "e4f10de0dace9ba5e4a526c198f8d775"),
    ("fineweb", "numbers_punctuation"): (159995837341018564, 87640986180651826, "efbbfe86b92f28b707da56012f82b0b1"),
    ("fineweb", "accents"): (116248174341982106, 268792521738134153, "939fec76c84b573d0bcfb2703bc7ff28"),
    ("fineweb", "repeated"): (102593125096544468, 182229837814429641, "a6e41ce4686cdd439ffa94ee43e15623"),
    ("fineweb", "long_words"): (1930691262174697196, 2206360631218969953, "d75c3a1738b0067639194807e5503f5d"),
    ("fineweb2", "five_words"): (699275049159941947, 1688177567886525154, "8bc5d2926adf1d17601094b3d5c96b1b"),
    ("fineweb2", "numbers_punctuation"): (2413806198275796, 94993437315253002, "cd773ace07e6df7a35dea363e37f4fbf"),
    ("fineweb2", "accents"): (330807494829205880, 13914881462147259, "f892e7ed9a8ee2785981a82d7c080fb3"),
    ("fineweb2", "repeated"): (427012599937282365, 977225319541409205, "8ed16abf6f437b4b0650055413aa26cb"),
    ("fineweb2", "long_words"): (495734587873135875, 1518504353715909283, "75fbc75ca0b6e7d68aae9cb3f8c5cc18"),
}


@pytest.mark.parametrize(("scheme", "text"), FROZEN, ids=map("-".join, FROZEN))
def test_signature_equals_datatroves_frozen_one(scheme: Scheme, text: str) -> None:
    signature = MinHash(scheme=scheme).signature(TEXTS[text])
    assert signature is not None
    assert (signature.shape, signature.dtype) == ((112,), np.uint64)
    digest = hashlib.sha256(signature.astype("<u8").tobytes()).hexdigest()[:32]
    assert (int(signature[0]), int(signature[111]), digest) == FROZEN[scheme, text]


def golden() -> list[dict[str, Any]]:
    if not GOLDEN.exists():
        pytest.skip(f"{GOLDEN.name}, the texts with datatrove's partition, is not here")
    with gzip.open(GOLDEN, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.parametrize(("scheme", "hash_name"), [("fineweb", "sha1"), ("fineweb2", "xxhash")])
def test_signatures_equal_an_installed_datatroves(scheme: Scheme, hash_name: str, tmp_path: Path) -> None:
    pytest.importorskip("datatrove", reason="datatrove is not installed; it is in the extra `dev`")
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.utils.hashing import HashConfig

    config = MinhashConfig(hash_config=HashConfig(hash_fc=hash_name, precision=64))
    theirs = MinhashDedupSignature(output_folder=str(tmp_path), config=config)
    if scheme == "fineweb2":  # from 4.0 on xxhash takes no strings, which datatrove 0.10.1 hands it
        theirs._hash_func = lambda shingle: xxhash.xxh64_intdigest(shingle.encode())
    ours = MinHash(scheme=scheme)
    texts = [row["text"] for row in golden()[::20]] if GOLDEN.exists() else []
    for text in [*TEXTS.values(), "too few words", "", *texts]:
        shingles = theirs.get_shingles(text)
        expected = np.array(theirs.get_signature(shingles), np.uint64).ravel().tolist() if shingles.size else None
        signature = ours.signature(text)
        assert (None if signature is None else signature.tolist()) == expected


def test_permutations_wrap_before_the_modulus() -> None:
    """Against plain Python integers, over shingles at the ends of the range."""
    shingles = np.array([0, 1, 2**61 - 2, 2**61 - 1, 2**61, 2**63, 2**64 - 1], np.uint64)
    a, b = permutations(1, 112)
    assert (a.min() >= 1, max(a.max(), b.max()) < 2**61 - 1, len(a), len(b)) == (True, True, 112, 112)
    for x in [*shingles, None]:
        these = shingles if x is None else np.array([x], np.uint64)
        expected = [
            min((int(v) * int(p) + int(q)) % 2**64 % (2**61 - 1) for v in these) for p, q in zip(a, b, strict=True)
        ]
        assert least(these, a, b).tolist() == expected


TOO_SHORT = {"empty": "", "blank": " \n", "punctuation": "!" * 50, "four_words": "one two three four."}


@pytest.mark.parametrize("text", TOO_SHORT.values(), ids=TOO_SHORT)
def test_fewer_words_than_a_shingle_have_no_signature(text: str) -> None:
    assert MinHash().signature(text) is None
    keys = MinHash().keys(Document(text))
    assert (keys.shape, keys.dtype) == ((0,), np.uint64)


TEXT = "the quick brown fox jumps over the lazy dog and runs away from it"
A = Document(TEXT, dump="CC-MAIN-2026-10", language="eng", language_script="Latn")

SHARED = {
    "same": (("dump",), A, A, 14),
    "other_dump": (("dump",), A, Document(TEXT, dump="CC-MAIN-2026-14"), 0),
    "dump_out_of_scope": ((), A, Document(TEXT, dump="CC-MAIN-2026-14"), 14),
    "other_language": (("language",), A, Document(TEXT, language="deu", language_script="Latn"), 0),
    "other_script": (("language",), A, Document(TEXT, language="eng", language_script="Shaw"), 0),
    "both": (("dump", "language"), A, A, 14),
    "url_and_id_are_not_looked_at": (("dump",), A, Document(TEXT, id="x", url="y", dump=A.dump), 14),
    "case_and_marks": (("dump",), A, Document(TEXT.upper().replace("E", "É"), dump=A.dump), 14),
    "other_text": (("dump",), A, Document("nothing of that " + TEXT[::-1], dump=A.dump), 0),
}


@pytest.mark.parametrize(("scope", "one", "other", "shared"), SHARED.values(), ids=SHARED)
def test_shared_keys(scope: tuple[Any, ...], one: Document, other: Document, shared: int) -> None:
    stage = MinHash(scope=scope)
    a, b = stage.keys(one).tolist(), stage.keys(other).tolist()
    assert len(set(a)) == len(set(b)) == 14
    assert len(set(a) & set(b)) == shared


def test_a_key_stands_for_its_bucket_and_its_values() -> None:
    one, other = MinHash(buckets=2, hashes=3), MinHash(buckets=2, hashes=3)
    same = "a b c d e f g h i j k l m n o p q r s t u v w x y z "
    a, b = Document(same * 3), Document(same * 3 + "x z x z y")
    signatures = [one.signature(doc.text) for doc in (a, b)]
    assert signatures[0] is not None
    assert signatures[1] is not None
    bands = (signatures[0].reshape(2, 3) == signatures[1].reshape(2, 3)).all(axis=1)
    assert (one.keys(a) == other.keys(b)).tolist() == bands.tolist()


@pytest.mark.parametrize("keep", KEEPERS)
def test_priority_is_the_policys(keep: Any) -> None:
    doc = Document(TEXT, date="2026-11-01T00:00:00Z", quality_score=0.5)
    assert MinHash(keep=keep).priority(doc) == KEEPERS[keep](doc)


REFUSED = {
    "buckets": ({"buckets": 0}, "minhash.buckets is 0"),
    "hashes": ({"hashes": 0}, "minhash.hashes is 0"),
    "n_grams": ({"n_grams": -1}, "minhash.n_grams is -1"),
    "seed_below": ({"seed": -1}, "minhash.seed is -1"),
    "seed_above": ({"seed": 2**32}, "minhash.seed is 4294967296"),
}


@pytest.mark.parametrize(("params", "message"), REFUSED.values(), ids=REFUSED)
def test_parameters_that_can_not_be(params: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MinHash(**params)  # type: ignore[arg-type]


def test_least_parameters() -> None:
    stage = MinHash(buckets=1, hashes=1, n_grams=1, seed=0)
    assert stage.keys(Document("word")).shape == (1,)


def test_contract() -> None:
    assert MinHash.reasons == ("near_duplicate",)
    assert MinHash.needs_text is True
    assert tuple(SCHEMES) == ("fineweb", "fineweb2")


def test_words_of_another_language_make_other_signatures() -> None:
    text = "we cannot see what they are gonna do"  # English cuts can|not and gon|na
    english, unicode = MinHash().signature(text), MinHash(language="unicode").signature(text)
    assert english is not None
    assert unicode is not None
    assert english.tolist() != unicode.tolist()


def test_the_segmenter_is_asked_for_before_the_first_text() -> None:
    stage = MinHash()
    assert stage.setup({}) is stage
    assert stage.libraries() == ("regex",)
    with pytest.raises(ValueError, match="'no language'"):
        MinHash(language="no language").setup({})


def test_korean_names_its_libraries() -> None:
    pytest.importorskip("kiwipiepy", reason="Korean words are an extra")
    assert MinHash(language="kor_Hang").libraries() == ("regex", "kiwipiepy", "kiwipiepy_model")


@settings(deadline=None, max_examples=50)
@given(st.text())
def test_any_text_gets_an_answer(text: str) -> None:
    assert MinHash().keys(Document(text)).shape in ((0,), (14,))


def partition(labels: list[Any]) -> set[frozenset[int]]:
    groups = defaultdict(set)
    for i, label in enumerate(labels):
        groups[label].add(i)
    return {frozenset(group) for group in groups.values()}


def test_golden_partition_through_the_whole_way(tmp_path: Path) -> None:
    """Keys -> four files -> ranges -> edges -> components: datatrove's clusters, and the planted duplicates in them."""
    rows = golden()
    stage = MinHash()
    bases = [len(rows) * i // 4 for i in range(5)]
    counts = np.zeros(4096, np.int64)
    for i in range(4):
        writer = SignatureWriter()
        for row, entry in enumerate(rows[bases[i] : bases[i + 1]]):
            writer.add(row, stage.keys(Document(entry["text"])))
        with (tmp_path / str(i)).open("wb") as file:
            counts += writer.write(file)
    cuts = ranges(counts, 4000)
    assert len(cuts) > 4
    components = Components(len(rows))
    for a, b in cuts:
        found = [read_slice(str(tmp_path / str(i)), a, b) for i in range(4)]
        components.add(edges((keys, rows + base) for (keys, rows), base in zip(found, bases, strict=False)))
    labels = components.labels()
    theirs = [f"alone {i}" if row["cluster"] is None else row["cluster"] for i, row in enumerate(rows)]
    assert partition(labels.tolist()) == partition(theirs)
    chosen = choose_keepers(labels)
    assert int(kept(chosen.bits, 0, len(rows)).sum()) == sum(row["kept"] for row in rows)
    assert recall(rows, labels) == {0.0: (712, 712), 0.005: (170, 170), 0.01: (164, 165), 0.02: (128, 136)}


def recall(rows: list[dict[str, Any]], labels: np.ndarray) -> dict[float, tuple[int, int]]:
    """Edit rate up to 2 % -> texts found in the cluster of their family's first unedited text, and all such texts."""
    original: dict[int, int] = {}
    for row, label in zip(rows, labels.tolist(), strict=True):
        if row["edit"] == 0.0:
            original.setdefault(row["family"], label)
    hits = defaultdict(list)
    for row, label in zip(rows, labels.tolist(), strict=True):
        if row["edit"] <= 0.02:
            hits[row["edit"]].append(label == original[row["family"]])
    return {edit: (sum(found), len(found)) for edit, found in hits.items()}

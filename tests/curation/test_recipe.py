"""pipelines.yaml to recipes: every pipeline builds, every mistake names its place, the hash hangs on what decides."""

from pathlib import Path
from typing import Any

import pytest

from classifiers.language import Language
from curation.edits.pii import Pii
from curation.extract import Extract
from curation.inputs import Given
from curation.levels import Levels
from curation.plan import plan
from curation.recipe import (
    Recipe,
    digest,
    load,
    params,
    rebuild,
    resolve,
)
from curation.registry import STAGES
from curation.rules.gopher_quality import GopherQuality
from dedup.minhash import MinHash
from schemas.manifest import Counts, Manifest
from schemas.recipe import PipelineSpec
from schemas.tasks import Compression, Format, Source
from storage.pipelines import PipelinesError, builtin_file, parse

NAMES = ("fineweb", "fineweb2", "fineweb2-ko", "multilingual", "minhash", "sample")


def spec(*stages: Any, **more: Any) -> PipelineSpec:
    return PipelineSpec.model_validate({"stages": list(stages), **more})


def stage_of(recipe: Recipe, name: str) -> Any:
    return next(step.stage for step in recipe.steps if step.name == name)


def test_the_file_has_these_pipelines() -> None:
    assert tuple(parse(builtin_file()).curation) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_pipeline_builds(name: str) -> None:
    recipe = resolve(*load(name))
    assert recipe.name == name
    assert recipe.description != ""
    assert [entry.name for entry in recipe.entries if entry.enabled] == [step.name for step in recipe.steps]
    assert {type(step.stage) for step in recipe.steps} <= set(STAGES.values())
    assert len(recipe.sha256(dict.fromkeys(recipe.files(), "0" * 64))) == 64


@pytest.mark.parametrize("name", NAMES)
def test_defaults_live_in_the_dataclasses_only(name: str) -> None:
    """A value that equals its default need not stand in the file."""
    said = parse(builtin_file()).curation[name]
    if said.language:  # there the defaults are the language's
        return
    restated = [
        f"{entry.name}.{key}" for entry in said.stages for key, value in entry.params.items()
        if params(STAGES[entry.name]()).get(key) == value
    ]  # fmt: skip
    assert restated in ([], ["minhash.scope"])  # said aloud: what it is deduplicated within


FINEWEB = (
    "url_filter", "extract", "language", "gopher_repetition", "gopher_quality", "c4", "fineweb", "minhash", "pii",
    "token_count",
)  # fmt: skip


def test_fineweb_is_the_published_recipe() -> None:
    recipe = resolve(*load("fineweb"))
    assert tuple(step.name for step in recipe.steps) == FINEWEB
    assert [entry.name for entry in recipe.entries if not entry.enabled] == ["url_dedup", "digest_dedup"]
    assert stage_of(recipe, "language") == Language(languages=("en",), min_score=0.65)
    assert stage_of(recipe, "minhash") == MinHash(scheme="fineweb", buckets=14, hashes=8, n_grams=5, scope=("dump",))
    assert recipe.deviations == ()


def test_korean_takes_the_published_numbers() -> None:
    recipe = resolve(*load("fineweb2"))
    assert recipe.language == "kor_Hang"
    language = stage_of(recipe, "language")
    assert (language.languages, language.model, language.min_score) == (("kor_Hang",), "glotlid", 0.842)
    repetition = params(stage_of(recipe, "gopher_repetition"))
    assert repetition["max_duplicate_lines"] == 0.374
    assert repetition["max_duplicate_paragraphs"] is None
    assert repetition["max_duplicate_line_chars"] is None
    quality = stage_of(recipe, "gopher_quality")
    assert (quality.min_mean_word_length, quality.max_mean_word_length) == (1, 6)
    assert quality.language == "kor_Hang"
    minhash = stage_of(recipe, "minhash")
    assert (minhash.scheme, minhash.scope, minhash.language) == ("fineweb2", ("language",), "kor_Hang")
    assert [step.name for step in recipe.steps].index("minhash") < [s.name for s in recipe.steps].index("fineweb")
    assert "c4" not in [step.name for step in recipe.steps]


def test_glotlids_threshold_is_not_another_models() -> None:
    """fineweb2 with lid.176: its own threshold, and said to be a deviation."""
    recipe = resolve(*load("fineweb2"), ["language.model=lid176"])
    assert stage_of(recipe, "language").min_score == 0.65
    assert len(recipe.deviations) == 1
    assert recipe.deviations[0].startswith("language: the language is identified by lid176")
    assert stage_of(resolve(*load("fineweb2-ko")), "language") == stage_of(recipe, "language")


def test_another_language_takes_its_own_numbers() -> None:
    korean, german = (resolve(*load("fineweb2"), [f"language={label}"]) for label in ("kor_Hang", "deu_Latn"))
    assert stage_of(german, "language").languages == ("deu_Latn",)
    assert params(stage_of(german, "fineweb")) != params(stage_of(korean, "fineweb"))


SETTINGS = {
    "stage": ("gopher_quality.min_words=40", "gopher_quality", "min_words", 40),
    "none": ("gopher_quality.min_words=null", "gopher_quality", "min_words", None),
    "float_for_int_field": ("gopher_repetition.max_duplicate_lines=1", "gopher_repetition", "max_duplicate_lines", 1.0),
    "list": ("language.languages=[en, de]", "language", "languages", ("en", "de")),
    "with_equals": ("quality.model=/a=b.bin", "quality", "model", "/a=b.bin"),
    "last_wins": ("gopher_quality.min_words=7", "gopher_quality", "min_words", 7),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_reach_stages(case: str) -> None:
    setting, stage, field, value = SETTINGS[case]
    given = spec("extract", "language", "gopher_quality", "gopher_repetition", {"quality": {"model": "x"}})
    first = ["gopher_quality.min_words=3"] if case == "last_wins" else []
    assert getattr(stage_of(resolve("p", given, [*first, setting]), stage), field) == value


def test_settings_of_the_run() -> None:
    recipe = resolve(
        "p",
        spec("pii"),
        ["seed=7", "publish.rows_per_part=5", "publish.by=[dump]", "sample.rate=1", "pii.enabled=false"],
    )
    assert (recipe.seed, recipe.publish.rows_per_part, recipe.publish.by) == (7, 5, ("dump",))
    assert recipe.sample.rate == 1.0
    assert recipe.steps == ()
    assert [entry.enabled for entry in recipe.entries] == [False]
    assert resolve("p", spec("pii"), ["pii.enabled=true"]).steps[0].stage == Pii()


WRONG: dict[str, tuple[PipelineSpec, list[str], str]] = {
    "unknown_stage": (spec("gopher"), [], "p: unknown stage 'gopher'; known are url_filter, url_dedup, "),
    "unknown_key": (
        spec({"c4": {"min_words": 1}}), [],
        "p: c4.min_words = 1: no such parameter; it has ",
    ),
    "wrong_kind": (spec({"gopher_quality": {"min_words": "many"}}), [], "p: gopher_quality.min_words = 'many': Input "),
    "refused_by_the_stage": (spec({"minhash": {"buckets": 0}}), [], "p: minhash: minhash.buckets is 0; it must be"),
    "twice": (spec("pii", "pii"), [], "p: the stage 'pii' stands twice; a stage may stand once"),
    "twice_once_off": (spec({"pii": {"enabled": False}}, "pii"), [], "p: the stage 'pii' stands twice; a stage "),
    "text_before_extract": (
        spec("c4", "extract"), [],
        "p: the stage 'c4' needs a page's text and stands before 'extract'",
    ),
    "gate_without_extract": (
        spec({"language": {"languages": ["en"], "gate": 0.1}}), [],
        "p: language.gate = 0.1: no stage extract stands before it, whose work a gate could spare; leave the gate out",
    ),
    "gate_without_languages": (
        spec("extract", "language"), ["language.gate=0.1"],
        "p: language: gate = 0.1 drops pages unlikely to be in `languages`, which names none",
    ),
    "unknown_language": (spec("language", language="kor"), [], "p: language='kor': "),
    "unknown_setting": (
        spec("pii"), ["c4.min_words=1"],
        "--set 'c4.min_words=1': p has no 'c4.min_words'; it has language, seed, publish.*, sample.* and the stages "
        "pii",
    ),
    "setting_without_value": (spec("pii"), ["pii.emails"], "--set 'pii.emails': key=value was "),
    "setting_without_key": (spec("pii"), ["=1"], "--set '=1': key=value was expected"),
    "setting_no_yaml": (spec("pii"), ["pii.emails=[a"], "--set 'pii.emails=[a': the value is no YAML: "),
    "setting_of_unknown_key": (spec("pii"), ["pii.phones=1"], "p: pii.phones = 1: no such parameter; it has emails, "),
    "publish_key": (
        spec("pii"), ["publish.rows=1"],
        "p: publish.rows = 1: Extra inputs are not permitted; allowed are rows_per_part, rows_per_group, by",
    ),
    "publish_value": (spec("pii"), ["publish.rows_per_part=0"], "p: publish.rows_per_part = 0: Input should be "),
    "sample_value": (spec("pii"), ["sample.rate=2"], "p: sample.rate = 2: Input should be less than or equal to 1"),
    "enabled_value": (spec("pii"), ["pii.enabled=perhaps"], "p: stages.0.enabled = 'perhaps': Input should be "),
    "seed_value": (spec("pii"), ["seed=x"], "p: seed = 'x': Input should be a valid integer"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_name_place_value_and_what_is_allowed(case: str) -> None:
    given, settings, words = WRONG[case]
    with pytest.raises(PipelinesError) as caught:
        resolve("p", given, settings)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value).removeprefix(words)


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path, "curation:\n  mine: {stages: [extract, gopher_quality: {min_words: 9}]}\n")
    name, mine = load(f"{path}#mine")
    assert name == "mine"
    recipe = resolve(name, mine)
    assert [step.stage for step in recipe.steps] == [Extract(), GopherQuality(min_words=9)]


def test_only_the_pipeline_that_is_asked_for_is_judged(tmp_path: Path) -> None:
    path = write(tmp_path, "curation:\n  typo: {stages: pii}\n  ok: {stages: [pii]}\ntraining: {x: {modle: 1}}\n")
    assert [stage.name for stage in load(f"{path}#ok")[1].stages] == ["pii"]
    with pytest.raises(PipelinesError, match=r"curation\.typo\.stages = 'pii'"):
        load(f"{path}#typo")


FILES = {
    "no_name": ("curation: {a: {stages: [pii]}}", "{path}", "{path!r} names a file; say which of its entries to "),
    "no_such_name": ("curation: {a: {stages: [pii]}}", "{path}#b", "{path} has no pipeline 'b'; it has a"),
    "empty_file": ("", "{path}#b", "{path} has no pipeline 'b'; it has none"),
    "no_yaml": ("curation: [", "{path}#a", "the pipelines file {path!r} is no YAML: "),
    "unknown_key": (
        "curation: {a: {stages: [pii], colour: red}}", "{path}#a",
        "{path}: curation.a.colour = 'red': Extra inputs are not permitted; allowed are description, language, seed, "
        "stages, publish, sample",
    ),
    "no_stages": ("curation: {a: {description: x}}", "{path}#a", "{path}: curation.a.stages = "),
    "stages_no_list": ("curation: {a: {stages: pii}}", "{path}#a", "{path}: curation.a.stages = 'pii': "),
    "no_stage": ("curation: {a: {stages: []}}", "{path}#a", "{path}: curation.a.stages = []: a list of "),
    "stage_of_a_number": (
        "curation: {a: {stages: [pii, extract: 5]}}", "{path}#a",
        "{path}: curation.a.stages.1 = {{'extract': 5}}: extract: a mapping of parameters was expected",
    ),
    "stage_of_a_list": ("curation: {a: {stages: [extract: []]}}", "{path}#a", "{path}: curation.a.stages.0 = {{'extr"),
    "stage_no_name": ("curation: {a: {stages: [5]}}", "{path}#a", "{path}: curation.a.stages.0 = 5: Input should be "),
    "stage_number_name": ("curation: {a: {stages: [5: {}]}}", "{path}#a", "{path}: curation.a.stages.0.name = 5: In"),
    "two_names": (
        "curation: {a: {stages: [{extract: , c4: }]}}", "{path}#a",
        "{path}: curation.a.stages.0 = {{'extract': None, 'c4': None}}: one stage's name was expected",
    ),
    "pipeline_twice": (
        "curation:\n  a: {stages: [pii]}\n  a: {stages: [c4]}\n", "{path}#a",
        "the pipelines file {path!r} is no YAML: the key 'a' stands twice in ",
    ),
    "key_twice": (
        "curation: {a: {stages: [pii: {emails: [], emails: []}]}}", "{path}#a",
        "the pipelines file {path!r} is no YAML: the key 'emails' stands twice in ",
    ),
    "unknown_kind": (
        "curations: {}", "{path}#a", "{path}: curations = {{}}: Extra inputs are not permitted; allowed are curation, "
    ),
    "kind_no_mapping": ("curation: [pii]", "{path}#a", "{path}: curation = ['pii']: Input should be a valid dict"),
    "no_mapping": ("[1, 2]", "{path}#a", "{path}: the file = [1, 2]: "),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_mistakes_in_a_file(case: str, tmp_path: Path) -> None:
    text, reference, words = FILES[case]
    path = str(write(tmp_path, text))
    with pytest.raises(PipelinesError) as caught:
        load(reference.format(path=path))
    assert str(caught.value).startswith(words.format(path=path))
    assert "\n" not in str(caught.value)


def test_merged_mappings_may_override(tmp_path: Path) -> None:
    text = "curation:\n  a: &a {seed: 1, stages: [pii]}\n  b: {<<: *a, seed: 2}\n  c: {<<: *a}\n"
    parsed = parse(write(tmp_path, text)).curation
    assert {name: found.seed for name, found in parsed.items()} == {"a": 1, "b": 2, "c": 1}


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(PipelinesError, match=r"^the pipelines file '/no/such.yaml' can't be read: No such file"):
        load("/no/such.yaml#x")


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(PipelinesError, match=f"has no pipeline 'fineweb3'; it has {', '.join(NAMES)}$"):
        load("fineweb3")


LEVELS = {
    "no_enabled_stage": ([{"c4": {"enabled": False}}], [((), None, True, True)]),
    "one_sift": (["extract", "c4"], [(("extract", "c4"), None, True, True)]),
    "dedup_at_the_end": (["extract", "minhash"], [(("extract",), "minhash", True, True)]),
    "dedup_in_the_middle": (
        ["extract", "minhash", "pii"],
        [(("extract",), "minhash", True, True), (("pii",), None, False, True)],
    ),
    "before_extract": (
        ["url_filter", "url_dedup", "digest_dedup", "extract", "minhash", "pii"],
        [
            (("url_filter",), "url_dedup", True, False),
            ((), "digest_dedup", True, False),
            (("extract",), "minhash", True, True),
            (("pii",), None, False, True),
        ],
    ),
    "text_already": (["minhash", "pii"], [((), "minhash", True, True), (("pii",), None, False, True)]),
}


@pytest.mark.parametrize("case", LEVELS)
def test_levels(case: str) -> None:
    stages, wanted = LEVELS[case]
    levels = resolve("p", spec(*stages)).levels()
    assert [
        (tuple(s.name for s in v.steps), v.dedup and v.dedup.name, v.from_input, v.has_text) for v in levels
    ] == wanted
    assert [level.index for level in levels] == list(range(len(wanted)))


HASHES = {
    "description": ({"description": "other"}, [], True),
    "a_disabled_stage": ({"more": [{"c4": {"enabled": False}}]}, [], True),
    "a_default_said_aloud": ({}, ["gopher_quality.min_words=50"], True),
    "a_default_said_as_another_number": ({}, ["gopher_quality.min_mean_word_length=3"], True),
    "threshold": ({}, ["gopher_quality.min_words=51"], False),
    "seed": ({}, ["seed=1"], False),
    "parts": ({}, ["publish.rows_per_part=10"], False),
    "sample": ({}, ["sample.rate=0.5"], False),
    "each_language_by_its_own": ({}, ["language=each"], False),
    "a_stage_more": ({"more": ["pii"]}, [], False),
    "a_stage_less": ({}, ["minhash.enabled=false"], False),
    "no_gate": ({}, ["language.gate=null"], True),
    "a_gate": ({}, ["language.gate=0.1"], False),
}  # fmt: skip


@pytest.mark.parametrize("case", HASHES)
def test_the_hash_hangs_on_what_decides_output(case: str) -> None:
    changes, settings, same = HASHES[case]
    stages = ["extract", {"language": {"languages": ["en"]}}, "gopher_quality", "minhash"]
    base = resolve("p", spec(*stages)).sha256({})
    other = resolve("q", spec(*stages, *changes.get("more", ()), description=changes.get("description", "")), settings)
    assert (other.sha256({}) == base) is same


def test_the_hash_hangs_on_files_versions_and_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = resolve("p", spec("extract"))
    base = recipe.sha256({"m": "a"})
    assert recipe.sha256({"m": "b"}) != base
    assert set(recipe.libraries()) >= {"numpy", "pyarrow", "xxhash", "trafilatura", "lxml"}
    monkeypatch.setattr(Extract, "version", Extract.version + 1)
    assert resolve("p", spec("extract")).sha256({"m": "a"}) != base
    monkeypatch.setattr(Extract, "version", Extract.version - 1)
    assert resolve("p", spec("extract")).sha256({"m": "a"}) == base
    monkeypatch.setattr("curation.steps.version", lambda name: "0.0.1")
    assert recipe.sha256({"m": "a"}) != base


def test_every_language_needs_its_segmenters() -> None:
    assert "kiwipiepy" not in resolve("p", spec("gopher_quality")).libraries()
    assert "kiwipiepy" in resolve("p", spec("gopher_quality", language="each")).libraries()


def first_sift(*settings: str) -> list[str]:
    """Task ids of the first level."""
    recipe = resolve("p", spec("extract", "gopher_quality", "minhash", "pii"), settings)
    levels = Levels(recipe, {}, None)  # type: ignore[arg-type]
    source = Source("/crawl/a.warc.gz", "a.warc.gz", 9 << 20, "tag", Format.WARC, Compression.GZIP, "")
    depends = levels._depends(recipe.levels()[0], "")
    return [task.id for task in plan(Given(sources=(source,)), depends)]


def test_what_follows_the_first_sift_does_not_extract_again() -> None:
    base = first_sift()
    assert len(base) == 5
    assert first_sift("minhash.buckets=20") == base
    assert first_sift("minhash.language=kor_Hang", "pii.public_ips_only=false") == base  # with another library, too
    assert first_sift("minhash.enabled=false", "pii.enabled=false") == base
    assert first_sift("publish.rows_per_part=7") == base
    assert set(first_sift("gopher_quality.min_words=1")).isdisjoint(base)
    assert set(first_sift("language=each")).isdisjoint(base)
    assert set(first_sift("extract.favour_precision=false")).isdisjoint(base)


def manifest(recipe: Recipe) -> Manifest:
    """Of a run of nothing."""
    counts = Counts(pages=0, kept=0, dropped=0, dropped_by={}, tokens=0, characters=0)
    return Manifest(
        gristmill="0", pipeline=recipe.name, description="", language=recipe.language, recipe_sha256="",
        stages=recipe.entries, publish=recipe.publish.model_dump(mode="json"),
        sample=recipe.sample.model_dump(mode="json"), seed=recipe.seed, files_used={}, libraries={}, inputs_root="",
        inputs=(), counts=counts, files=(),
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_rebuilt_from_its_manifest(name: str) -> None:
    recipe = resolve(*load(name), ["seed=3"])
    told = Manifest.model_validate_json(manifest(recipe).model_dump_json())
    again = rebuild(told)
    assert again.entries == recipe.entries
    assert again.steps == recipe.steps
    assert again.sha256({}) == recipe.sha256({})


def test_not_rebuilt_under_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    told = manifest(resolve("p", spec("extract")))
    monkeypatch.setattr(Extract, "version", 99)
    with pytest.raises(PipelinesError, match=r"^p: the stage 'extract' was version 1 in that run and is 99 here;"):
        rebuild(told)


def test_digest_is_canonical() -> None:
    assert digest({"b": 1, "a": [1, None]}) == digest({"a": [1, None], "b": 1})
    assert digest({"a": 1}) != digest({"a": 2})

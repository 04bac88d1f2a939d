"""Tokenizers of every kind: documents without special ids, and transformers' ids on what is saved."""

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, models
from tokenizers import Tokenizer as Backend
from transformers import AutoTokenizer
from transformers.models.auto import tokenization_auto

from tests.trainer.tokenizer.lookalikes import MAKERS, NAMES, TRICKY, llama3, load, ours, qwen2, write
from trainer.errors import TrainerError
from trainer.tokenizer.qwen2 import is_read_as_it_is
from trainer.tokenizer.special import CHATML, END, SPECIAL, START, chatml
from trainer.tokenizer.tokenizer import Tokenizer

ROOT = Path(__file__).parents[3]
SPECIAL_IDS = {
    "ours": (None, "<|endoftext|>", "<|pad|>"),
    "llama3": ("<|begin_of_text|>", "<|end_of_text|>", None),
    "qwen2": (None, "<|endoftext|>", "<|endoftext|>"),
    "gemma": ("<bos>", "<eos>", "<pad>"),
}
"""What each puts before a text, ends one with, and pads with."""

kinds = pytest.mark.parametrize("kind", list(MAKERS))


def by_transformers(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers' own
        return AutoTokenizer.from_pretrained(folder)


def altered(raw: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    told = json.loads(raw)
    change(told)
    return json.dumps(told, ensure_ascii=False).encode()


@kinds
def test_a_document_is_bos_where_one_is_added_then_text_then_eos(tmp_path: Path, kind: str) -> None:
    tokenizer = load(tmp_path, kind)
    bos, eos, pad = (None if name is None else tokenizer.special[name] for name in SPECIAL_IDS[kind])
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (bos, eos, pad)
    for text, ids in zip(TRICKY, tokenizer.encode_documents(TRICKY), strict=True):
        assert ids.dtype == np.uint16
        assert ids.tolist() == [*([] if bos is None else [bos]), *tokenizer.encode_text(text), eos]


@kinds
def test_names_of_special_tokens_in_crawled_text_are_text(tmp_path: Path, kind: str) -> None:
    tokenizer = load(tmp_path, kind)
    names = sorted(tokenizer.special)
    texts = [*names, "".join(names), " ".join(names), *(f"a{name}b\n{name}" for name in names)]
    before = tokenizer.bos_id is not None
    for text, ids in zip(texts, tokenizer.encode_documents(texts), strict=True):
        inner = ids.tolist()[before:-1]
        assert not set(inner) & set(tokenizer.special.values())
        assert tokenizer.decode(inner) == text
        assert tokenizer.encode_text(text) == inner


@kinds
def test_transformers_reads_the_same_from_what_is_saved(tmp_path: Path, kind: str) -> None:
    tokenizer = load(tmp_path / "given", kind)
    tokenizer.save(tmp_path / "saved")
    theirs = by_transformers(tmp_path / "saved")
    for text in [*TRICKY, *tokenizer.special, f"a {'|'.join(tokenizer.special)} b", "<tool_call>"]:
        assert tokenizer.encode(text) == theirs(text)["input_ids"]
    bos, eos, pad = SPECIAL_IDS[kind]
    assert (theirs.bos_token, theirs.eos_token, theirs.pad_token) == (bos, eos, pad)
    assert theirs.chat_template == (tokenizer.chat_template or None)
    assert theirs.decode(tokenizer.encode("a b")) == tokenizer.decode(tokenizer.encode("a b"))
    assert len(theirs) == tokenizer.largest_id + 1


@kinds
@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2"])
def test_what_transformers_reads_beside_a_configuration(tmp_path: Path, kind: str, family: str) -> None:
    tokenizer = load(tmp_path / "given", kind)
    tokenizer.save(tmp_path / "saved")
    (tmp_path / "saved/config.json").write_text(json.dumps({"model_type": family}))
    theirs = by_transformers(tmp_path / "saved")
    texts = [*TRICKY, *tokenizer.special, "12345", "<|endoftext|>"]
    same = [tokenizer.encode(text) for text in texts] == [theirs(text)["input_ids"] for text in texts]
    if family != "qwen2" or is_read_as_it_is(tokenizer.json):
        assert same
    elif "qwen2" in getattr(tokenization_auto, "MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS", ()):
        assert not same


def test_which_are_read_as_they_are_beside_qwen2s() -> None:
    kept = {kind: is_read_as_it_is(make()) for kind, make in MAKERS.items()}
    assert kept == {"ours": True, "llama3": False, "qwen2": True, "gemma": False}
    assert not is_read_as_it_is(ours().replace(b"<|endoftext|>", b"</s>"))  # transformers would add the other name


@kinds
def test_what_is_saved_loads_and_pickles_as_it_was(tmp_path: Path, kind: str) -> None:
    tokenizer = load(tmp_path / "given", kind)
    tokenizer.save(tmp_path / "saved")
    again = Tokenizer.load(tmp_path / "saved")
    texts = [*TRICKY, *tokenizer.special]
    for other in (again, Tokenizer.load(tmp_path / "saved" / "tokenizer.json"), pickle.loads(pickle.dumps(tokenizer))):
        assert (other.json, other.sha256, other.names) == (tokenizer.json, tokenizer.sha256, tokenizer.names)
        assert (other.bos_id, other.eos_id, other.pad_id) == (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id)
        assert other.chat_template == tokenizer.chat_template
        assert [ids.tolist() for ids in other.encode_documents(texts)] == [
            ids.tolist() for ids in tokenizer.encode_documents(texts)
        ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(texts=st.lists(st.text() | st.sampled_from(SPECIAL), max_size=5))
def test_a_batch_is_its_documents_one_by_one(tmp_path: Path, texts: list[str]) -> None:
    tokenizer = Tokenizer.from_json(ours())
    batch = [ids.tolist() for ids in tokenizer.encode_documents(texts)]
    assert batch == [tokenizer.encode_documents([text])[0].tolist() for text in texts]


def test_truncation_and_padding_of_the_file_do_not_act(tmp_path: Path) -> None:
    def shorten(told: dict[str, Any]) -> None:
        told["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
        told["padding"] = {
            "strategy": {"Fixed": 16},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 3,
            "pad_type_id": 0,
            "pad_token": "<|pad|>",
        }

    plain, short = Tokenizer.from_json(ours()), Tokenizer.from_json(altered(ours(), shorten))
    texts = ["a", "a long text of many words"]
    assert [ids.tolist() for ids in short.encode_documents(texts)] == [
        ids.tolist() for ids in plain.encode_documents(texts)
    ]
    assert short.encode(texts[1]) == plain.encode(texts[1])
    short.save(tmp_path)
    assert by_transformers(tmp_path)(texts[1])["input_ids"] == plain.encode(texts[1])


def test_ids_above_65535_take_four_bytes() -> None:
    def widen(told: dict[str, Any]) -> None:
        vocabulary = told["model"]["vocab"]
        vocabulary |= {f"never{n}": n for n in range(len(vocabulary), 65_535 + grown)}

    grown = 1
    assert Tokenizer.from_json(altered(ours(), widen)).dtype == np.uint16
    grown = 2
    wide = Tokenizer.from_json(altered(ours(), widen))
    assert (wide.largest_id, wide.dtype, wide.encode_documents(["a"])[0].dtype) == (65_536, np.uint32, np.uint32)


def test_eos_is_the_argument_then_the_configuration_then_a_known_name(tmp_path: Path) -> None:
    folder = write(tmp_path, "qwen2")
    assert Tokenizer.load(folder).names["eos_token"] == "<|endoftext|>"
    assert Tokenizer.load(folder, eos="<|im_end|>").eos_id == Tokenizer.load(folder).special["<|im_end|>"]
    (folder / "tokenizer_config.json").unlink()
    assert Tokenizer.load(folder).names["eos_token"] == "<|endoftext|>"
    assert Tokenizer.from_json(llama3()).names["eos_token"] == "<|end_of_text|>"
    with pytest.raises(TrainerError, match=r"holds no token '</end>', which is to be its eos_token"):
        Tokenizer.load(folder, eos="</end>")

    def forget(told: dict[str, Any]) -> None:
        told["added_tokens"] = [token for token in told["added_tokens"] if token["content"] != "<|endoftext|>"]

    with pytest.raises(TrainerError, match=r"nothing tells which token .* ends a document.*<\|im_end\|>"):
        Tokenizer.from_json(altered(ours(), forget))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, chatml({START, END})),
        ({"chat_template": "brought"}, "brought"),
        ({"chat_template": [{"name": "tool", "template": "x"}, {"name": "default", "template": "several"}]}, "several"),
    ],
)
def test_the_chat_template_is_the_one_brought_or_ours(tmp_path: Path, given: dict[str, Any], expected: str) -> None:
    assert load(tmp_path, "qwen2", **given).chat_template == expected
    (tmp_path / "chat_template.jinja").write_text("of a file of its own")
    assert Tokenizer.load(tmp_path).chat_template == "of a file of its own"


def test_ours_stands_in_only_where_its_tokens_are_known(tmp_path: Path) -> None:
    assert load(tmp_path / "llama3", "llama3").chat_template == ""
    assert load(tmp_path / "ours", "ours").chat_template == CHATML
    assert "<think>" in CHATML
    assert "<think>" not in load(tmp_path / "qwen2", "qwen2").chat_template


BODY = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}CLOSE{% endfor %}"
TURNS = {
    "a token and a line break": (BODY.replace("CLOSE", "<|end|>\n"), "<|end|>"),
    "put together": (BODY.replace("CLOSE", "{{ '<|' + 'end' ~ '|>' }}"), "<|end|>"),
    "no special one": (BODY.replace("CLOSE", "<tool_call>"), "<tool_call>"),
    "the document's": (BODY.replace("CLOSE", "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}"), None),
    "the document's behind it": (BODY.replace("CLOSE", "<|end|>") + "{{ eos_token }}", "<|end|>"),
    "words": (BODY.replace("CLOSE", "\n\n### "), "<|im_start|>"),
    "words alone": (BODY.replace("<|im_start|>", "").replace("CLOSE", "\n\n### "), None),
    "a token between turns": (BODY.replace("CLOSE", "{% if not loop.last %}<|end|>{% endif %}"), "<|end|>"),
    "a token where an answer may not be last": (
        "{% if messages[-1].role != 'user' or not add_generation_prompt %}{{ raise_exception('no') }}{% endif %}"
        + BODY.replace("CLOSE", "<|end|>"),
        "<|end|>",
    ),
    "none": ("{{ messages[0].content }}", None),
    "broken": ("{% if %}", None),
    "no Python": ("{% break %}<|end|>", None),
    "nested too deep for Python": ("{% for a in messages %}" * 25 + "<|end|>" + "{% endfor %}" * 25, None),
    "brackets too deep": ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", None),
    "a sum too deep": ("{{ " + "+".join(["'a'"] * 3000) + " }}", None),
    "a number too long": ("{{ " + "9" * 5000 + " }}", None),
    "more than memory": ("{{ 'a' * 10 ** 15 }}", None),
    "refuses all": ("{{ raise_exception('no') }}", None),
    "takes a system's turn alone": (
        "{% if messages[0].role != 'system' %}{{ raise_exception('no system') }}{% endif %}"
        + BODY.replace("CLOSE", "<|end|>"),
        "<|end|>",
    ),
    "marks inside": (BODY.replace("{{ '<|im_start|>'", "{% generation %}<think>{{ ''").replace(
        "CLOSE", "</answer><|end|>{% endgeneration %}<|im_end|>"), "<|end|>"),
}  # fmt: skip
"""What a template closes turns with, and the token that ends an answer besides the document's."""


@pytest.mark.parametrize("closing", list(TURNS))
def test_what_ends_an_answer_is_learnt_from_the_template(tmp_path: Path, closing: str) -> None:
    template, end = TURNS[closing]
    backend = Backend.from_str(qwen2().decode())
    backend.add_special_tokens(["<think>", "<|end|>"])
    tokenizer = Tokenizer(backend.to_str().encode(), {"eos_token": "<|endoftext|>"}, template)
    assert tokenizer.end_ids == (tokenizer.eos_id, *([] if end is None else [tokenizer.special[end]]))
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path).end_ids == pickle.loads(pickle.dumps(tokenizer)).end_ids == tokenizer.end_ids


def test_ends_that_are_given_are_kept_where_they_are_no_words(tmp_path: Path) -> None:
    folder = write(tmp_path / "given", "qwen2")
    plain = Tokenizer.load(folder)
    eos, end, start = (plain.special[name] for name in ("<|endoftext|>", "<|im_end|>", "<|im_start|>"))
    call, word = plain.encode_text("<tool_call>")[0], plain.encode_text("cat")[0]
    tokenizer = Tokenizer.load(folder, ends=[start, word, 10**6, end, call, eos])
    assert (plain.end_ids, tokenizer.end_ids) == ((eos, end), (eos, end, start, call))
    tokenizer.save(tmp_path / "saved")
    assert Tokenizer.load(tmp_path / "saved").end_ids == tokenizer.end_ids
    assert pickle.loads(pickle.dumps(tokenizer)).end_ids == tokenizer.end_ids
    assert by_transformers(tmp_path / "saved")("<tool_call>cat")["input_ids"] == tokenizer.encode("<tool_call>cat")
    for named, extra in ((["x", [start], None, True, start], [start]), (start, [])):
        write(tmp_path / "odd", "qwen2", end_ids=named)
        assert Tokenizer.load(tmp_path / "odd").end_ids == (eos, end, *extra)


SPEAKS = "{{ '<|im_start|>system\n당신은 유용한 어시스턴트입니다.<|im_end|>\n' }}" + BODY.replace(
    "CLOSE", "[END]{% if m.role == 'user' %}</think>{% endif %}"
)


def test_added_words_in_a_template_stay_text_and_marks_in_it_do_not(tmp_path: Path) -> None:
    backend = Backend.from_str(qwen2().decode())
    words = ["입니다", "입니다.", "user", "system", ".", "유용한 "]
    backend.add_tokens([AddedToken(name, special=False, normalized=False) for name in [*words, "[END]", "</think>"]])
    tokenizer = Tokenizer(backend.to_str().encode(), {"eos_token": "<|endoftext|>"}, SPEAKS)
    assert set(tokenizer.special) == {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "[END]", "</think>"}
    text = "도서관입니다. a user of 유용한 system."
    tokenizer.save(tmp_path)
    assert tokenizer.encode_text(text) == tokenizer.encode(text) == by_transformers(tmp_path)(text)["input_ids"]
    assert set(map(tokenizer._plain.token_to_id, ("입니다.", "user"))) < set(tokenizer.encode_text(text))


def drop_out(told: dict[str, Any]) -> None:
    told["model"]["dropout"] = 0.1


def reach_the_end(told: dict[str, Any]) -> None:
    """Whole words are looked up, and `<|endoftext|>` is made one."""
    told["model"]["ignore_merges"] = True
    told["pre_tokenizer"]["pretokenizers"] = told["pre_tokenizer"]["pretokenizers"][1:]


def end_twice(told: dict[str, Any]) -> None:
    special = [("[CLS]", 1), ("<|im_start|>", 1)]
    told["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": name, "type_id": 0}} for name, _ in special]
        + [{"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [],
        "special_tokens": {name: {"id": name, "ids": [number], "tokens": [name]} for name, number in special},
    }


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"{}", r"'tokenizer.json' is no tokenizer.json: .*Model missing"),
        (b"\xff\xfe", r"'tokenizer.json' is no tokenizer.json"),
        (Backend(models.BPE()).to_str().encode(), r"'tokenizer.json' holds no token; give"),
        (altered(ours(), drop_out), r"has dropout 0.1"),
        (altered(ours(), reach_the_end), r"makes the special token '</think>' out of ordinary text"),
        (altered(ours(), end_twice), r"makes \[1, 1, \d+\] of the text 'a', \[\d+\]; a document is \[BOS\] text EOS"),
    ],
)
def test_tokenizers_that_can_not_be_used_are_refused(raw: bytes, said: str) -> None:
    with pytest.raises(TrainerError, match=said):
        Tokenizer.from_json(raw)


def test_files_that_are_not_there_or_not_what_they_should_be(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"no tokenizer at '.*/tokenizer.json'; give a tokenizer.json or the folder"):
        Tokenizer.load(tmp_path)
    folder = write(tmp_path, "qwen2")
    (folder / "tokenizer_config.json").write_text("[1]")
    with pytest.raises(TrainerError, match=r"tokenizer_config.json' holds '\[1\]', not a mapping"):
        Tokenizer.load(folder)
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(TrainerError, match=r"tokenizer_config.json' is no JSON"):
        Tokenizer.load(folder)
    (folder / "tokenizer_config.json").unlink()
    (folder / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(TrainerError, match=r"chat_template.jinja' is no UTF-8: .*; save it as UTF-8, or leave it out"):
        Tokenizer.load(folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(TrainerError, match=r"holds no token '\[PAD\]', which is to be its pad_token"):
        load(tmp_path, "qwen2", pad_token="[PAD]")


def test_a_file_of_any_name(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(ours())
    assert Tokenizer.load(tmp_path / "mine.txt").sha256 == Tokenizer.from_json(ours()).sha256
    (tmp_path / "mine.txt").write_text("some words")
    with pytest.raises(TrainerError, match=r"mine.txt' is no tokenizer.json: .*; give one, or a folder that holds it"):
        Tokenizer.load(str(tmp_path / "mine.txt"))


def _encoded(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    return [ids.tolist() for ids in tokenizer.encode_documents(texts)]


def test_spawned_processes_encode_the_same() -> None:
    tokenizer = Tokenizer.from_json(ours())
    texts = [*TRICKY, *SPECIAL] * 10
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_encoded, (tokenizer, texts)) == _encoded(tokenizer, texts)


def test_a_process_forked_behind_parallel_work_does_not_wait_for_its_parents_threads() -> None:
    program = """if True:
        import os
        from tests.trainer.tokenizer.lookalikes import ours
        from trainer.tokenizer.tokenizer import Tokenizer
        tokenizer = Tokenizer.from_json(ours())
        texts = ["a text"] * 2000
        known = [ids.tolist() for ids in tokenizer.encode_documents(texts)]
        child = os.fork()
        if child == 0:
            os._exit(known != [ids.tolist() for ids in tokenizer.encode_documents(texts)])
        raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, timeout=120, check=False)
    assert done.returncode == 0


def test_added_tokens_that_are_not_special_stay_tokens_of_the_text() -> None:
    tokenizer = Tokenizer.from_json(qwen2())
    call = tokenizer.encode("<tool_call>")
    assert len(call) == 1
    assert tokenizer.encode_text("<tool_call>") == call
    assert "<tool_call>" not in tokenizer.special


def test_every_look_alike_has_a_configuration() -> None:
    assert set(NAMES) == set(MAKERS) == set(SPECIAL_IDS)

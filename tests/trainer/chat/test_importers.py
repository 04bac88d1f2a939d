"""Files of conversations and preferences, in each form that is read, and what is said of others."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from schemas.chat import Conversation, Message, Preference
from storage.errors import MissingError
from tests.conftest import HttpFiles
from trainer.chat.importers import read_conversations, read_preferences
from trainer.errors import TrainerError

ASK, SAY = Message(role="user", content="고양이?"), Message(role="assistant", content="네.")
MORE, DONE = Message(role="user", content="more"), Message(role="assistant", content="done")
BE = Message(role="system", content="be brief")
THOUGHT = Message(role="assistant", content="네.", reasoning_content="흠")
HM = Message(role="assistant", content="done", reasoning_content=" hm\n")


def write(path: Path, *rows: Any) -> Path:
    data = b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows)
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        data = zstandard.compress(data)
    path.write_bytes(data)
    return path


def told(*messages: Message) -> list[dict[str, str]]:
    return [message.model_dump(exclude_defaults=True) for message in messages]


CONVERSATIONS: dict[str, tuple[dict[str, Any], Conversation]] = {
    "ours": (
        Conversation(id="a", messages=(BE, ASK, SAY), language="ko").model_dump(mode="json"),
        Conversation(id="a", messages=(BE, ASK, SAY), language="ko"),
    ),
    "openai": ({"messages": told(ASK, SAY, MORE, DONE)}, Conversation(id="x.jsonl:1", messages=(ASK, SAY, MORE, DONE))),
    "openai with parts and nulls": (
        {
            "id": 7,
            "tools": [],
            "functions": None,
            "messages": [
                {"role": "developer", "content": "be brief"},
                {
                    "role": "user",
                    "name": None,
                    "content": [{"type": "text", "text": "고"}, {"type": "text", "text": "양이?"}],
                },
                {"role": "assistant", "content": "네.", "refusal": None, "tool_calls": None, "weight": 1.0},
            ],
        },
        Conversation(id="7", messages=(BE, ASK, SAY)),
    ),
    "hh": (
        {"chosen": "\n\nHuman: 고양이?\n\nAssistant: 네.\n\nHuman: more\n\nAssistant: done", "rejected": "…"},
        Conversation(id="x.jsonl:1", messages=(ASK, SAY, MORE, DONE)),
    ),
    "hh as messages": (
        {"messages": "\n\nHuman: 고양이?\n\nAssistant: 네. "},
        Conversation(id="x.jsonl:1", messages=(ASK, SAY)),
    ),
    "trl prompt and completion": (
        {"prompt": "고양이?", "completion": "네."},
        Conversation(id="x.jsonl:1", messages=(ASK, SAY)),
    ),
    "hh's prompt and completion": (
        {"prompt": "\n\nHuman: 고양이?\n\nAssistant:", "completion": " 네. "},
        Conversation(id="x.jsonl:1", messages=(ASK, SAY)),
    ),
    "trl prompt and completion of messages": (
        {"prompt": told(BE, ASK), "completion": told(SAY)},
        Conversation(id="x.jsonl:1", messages=(BE, ASK, SAY)),
    ),
    "reasoning by each name": (
        {
            "messages": [
                *told(ASK),
                {"role": "assistant", "content": "네.", "reasoning_content": "흠", "reasoning": "흠"},
                *told(MORE),
                {"role": "assistant", "content": "done", "thinking": [{"type": "text", "text": " hm\n"}]},
                *told(MORE),
                {"role": "assistant", "content": "done", "reasoning": None, "thinking": ""},
            ]
        },
        Conversation(id="x.jsonl:1", messages=(ASK, THOUGHT, MORE, HM, MORE, DONE)),
    ),
    "a system beside messages": (
        {"system": "be brief", "messages": told(ASK, SAY)},
        Conversation(id="x.jsonl:1", messages=(BE, ASK, SAY)),
    ),
    "the same system twice beside its message": (
        {"system": [{"type": "text", "text": "be brief"}], "system_prompt": "be brief", "messages": told(BE, ASK, SAY)},
        Conversation(id="x.jsonl:1", messages=(BE, ASK, SAY)),
    ),
    "a system beside prompt and completion": (
        {"system": None, "system_prompt": "be brief", "prompt": "고양이?", "completion": "네.", "label": True},
        Conversation(id="x.jsonl:1", messages=(BE, ASK, SAY)),
    ),
    "fields that say nothing": (
        {
            "system": " ",
            "tools": "[]",
            "functions": " {} ",
            "chat_template_kwargs": {"custom_instructions": "", "enable_thinking": False, "xml_tools": [], "a": {}},
            "messages": [{**told(ASK)[0], "weight": 0, "train": False}, {**told(SAY)[0], "weight": 1, "train": True}],
        },
        Conversation(id="x.jsonl:1", messages=(ASK, SAY)),
    ),
    "a preference's better answer": (
        {"prompt": told(ASK), "chosen": "네.", "rejected": "x"},
        Conversation(id="x.jsonl:1", messages=(ASK, SAY)),
    ),
}


@pytest.mark.parametrize("form", list(CONVERSATIONS))
def test_conversations_of_every_form(tmp_path: Path, form: str) -> None:
    row, expected = CONVERSATIONS[form]
    assert list(read_conversations(str(write(tmp_path / "x.jsonl", row)))) == [expected]


NO, NOTHING, BLANK = (Message(role="assistant", content=content) for content in ("아니요.", "", " 네."))
PREFERENCES: dict[str, tuple[dict[str, Any], Preference]] = {
    "ours": (
        Preference(id="a", prompt=(BE, ASK), chosen=SAY, rejected=NO, language="ko").model_dump(mode="json"),
        Preference(id="a", prompt=(BE, ASK), chosen=SAY, rejected=NO, language="ko"),
    ),
    "hh": (
        {
            "chosen": "\n\nHuman: 고양이?\n\nAssistant: 네.\n\nHuman: more\n\nAssistant: done",
            "rejected": "\n\nHuman: 고양이?\n\nAssistant: 네.\n\nHuman: more\n\nAssistant:",
        },
        Preference(id="x.jsonl:1", prompt=(ASK, SAY, MORE), chosen=DONE, rejected=NOTHING),
    ),
    "hh with its prompt apart": (
        {"prompt": "\n\nHuman: 고양이?\n\nAssistant:", "chosen": " 네.", "rejected": f" {NO.content}"},
        Preference(id="x.jsonl:1", prompt=(ASK,), chosen=SAY, rejected=NO),
    ),
    "trl text": (
        {"prompt": "고양이?", "chosen": " 네.", "rejected": NO.content},
        Preference(id="x.jsonl:1", prompt=(ASK,), chosen=BLANK, rejected=NO),
    ),
    "trl messages": (
        {"prompt": told(ASK), "chosen": told(SAY), "rejected": told(NO)},
        Preference(id="x.jsonl:1", prompt=(ASK,), chosen=SAY, rejected=NO),
    ),
    "ours with reasoning": (
        Preference(id="a", prompt=(ASK, THOUGHT, MORE), chosen=HM, rejected=DONE).model_dump(mode="json"),
        Preference(id="a", prompt=(ASK, THOUGHT, MORE), chosen=HM, rejected=DONE),
    ),
    "whole conversations with reasoning": (
        {"chosen": told(ASK, NO), "rejected": [*told(ASK), {**told(SAY)[0], "reasoning": "흠"}]},
        Preference(id="x.jsonl:1", prompt=(ASK,), chosen=NO, rejected=THOUGHT),
    ),
    "ultrafeedback": (
        {"prompt": "고양이?", "messages": told(ASK, SAY), "chosen": told(ASK, SAY), "rejected": told(ASK, NO)},
        Preference(id="x.jsonl:1", prompt=(ASK,), chosen=SAY, rejected=NO),
    ),
    "ultrafeedback of several turns, blanks around its prompt": (
        {"prompt": " 고양이?\n", "chosen": told(BE, ASK, NO, MORE, SAY), "rejected": told(BE, ASK, NO, MORE, DONE)},
        Preference(id="x.jsonl:1", prompt=(BE, ASK, NO, MORE), chosen=SAY, rejected=DONE),
    ),
    "whole conversations beside a prompt of messages": (
        {"prompt": told(BE, ASK), "chosen": told(BE, ASK, SAY), "rejected": told(BE, ASK, NO)},
        Preference(id="x.jsonl:1", prompt=(BE, ASK), chosen=SAY, rejected=NO),
    ),
    "whole conversations beside a prompt of nothing": (
        {"prompt": "", "chosen": told(ASK, SAY), "rejected": told(ASK, NO)},
        Preference(id="x.jsonl:1", prompt=(ASK,), chosen=SAY, rejected=NO),
    ),
    "whole conversations beside no prompt": (
        {"prompt": None, "chosen": told(ASK, SAY), "rejected": told(ASK, NO)},
        Preference(id="x.jsonl:1", prompt=(ASK,), chosen=SAY, rejected=NO),
    ),
    "hh whole beside its prompt": (
        {
            "prompt": "\n\nHuman: 고양이?\n\nAssistant:",
            "chosen": "\n\nHuman: 고양이?\n\nAssistant: 네.",
            "rejected": f"\n\nHuman: 고양이?\n\nAssistant: {NO.content}",
        },
        Preference(id="x.jsonl:1", prompt=(ASK,), chosen=SAY, rejected=NO),
    ),
    "hh whole beside a question": (
        {
            "prompt": "고양이?",
            "chosen": "\n\nHuman: 고양이?\n\nAssistant: 네.",
            "rejected": f"\n\nAssistant: {NO.content}",
        },
        Preference(id="x.jsonl:1", prompt=(ASK,), chosen=SAY, rejected=NO),
    ),
    "a system beside a prompt": (
        {"system": "be brief", "prompt": "고양이?", "chosen": "네.", "rejected": NO.content},
        Preference(id="x.jsonl:1", prompt=(BE, ASK), chosen=SAY, rejected=NO),
    ),
    "trl whole conversations": (
        {"chosen": told(ASK, SAY), "rejected": told(ASK, NO)},
        Preference(id="x.jsonl:1", prompt=(ASK,), chosen=SAY, rejected=NO),
    ),
}


@pytest.mark.parametrize("form", list(PREFERENCES))
def test_preferences_of_every_form(tmp_path: Path, form: str) -> None:
    row, expected = PREFERENCES[form]
    assert list(read_preferences(str(write(tmp_path / "x.jsonl", row)))) == [expected]


def test_a_folder_is_read_in_order_of_name_and_line_and_names_its_rows(tmp_path: Path) -> None:
    row = {"messages": told(ASK, SAY)}
    write(tmp_path / "b.jsonl.zst", row)
    write(tmp_path / "a.jsonl.gz", row, b"\n  \n", row)
    write(tmp_path / "c.jsonl", row)
    write(tmp_path / "notes.txt", b"not read")
    expected = ["a.jsonl.gz:1", "a.jsonl.gz:4", "b.jsonl.zst:1", "c.jsonl:1"]
    assert [found.id for found in read_conversations(str(tmp_path))] == expected
    assert [found.id for found in read_conversations(f"{tmp_path}/*.jsonl*")] == expected
    assert [found.id for found in read_conversations(str(tmp_path / "c.jsonl"))] == ["c.jsonl:1"]


def test_frames_and_long_lines_of_zstd_are_joined(tmp_path: Path) -> None:
    rows = [{"messages": told(ASK, Message(role="assistant", content=f"{n} " * 100_000))} for n in range(12)]
    data = b"".join(json.dumps(row).encode() + b"\n" for row in rows).rstrip(b"\n")
    third = len(data) // 3
    packed = b"".join(map(zstandard.compress, (data[:third], data[third:-5], data[-5:])))
    (tmp_path / "x.jsonl.zst").write_bytes(packed)
    found = list(read_conversations(str(tmp_path / "x.jsonl.zst")))
    assert [one.messages[1].content for one in found] == [row["messages"][1]["content"] for row in rows]


def test_files_are_read_wherever_storage_reaches(http_files: HttpFiles) -> None:
    write(http_files.folder / "x.jsonl.gz", {"messages": told(ASK, SAY)})
    assert [found.id for found in read_conversations(f"{http_files.url}/x.jsonl.gz")] == ["x.jsonl.gz:1"]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_that_breaks_off_is_an_error(tmp_path: Path, suffix: str) -> None:
    whole = write(tmp_path / f"x.jsonl{suffix}", *({"messages": told(ASK, SAY), "n": n} for n in range(1000)))
    whole.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(TrainerError, match=rf"x.jsonl{suffix}' can't be unpacked: .*; is it whole\?"):
        list(read_conversations(str(whole)))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b"{\n", r"x.jsonl:2: b'\{\\n' is no JSON"),
        (b"[" * 100_000 + b"\n", r"x.jsonl:2: .* is no JSON"),
        (b"\xff\n", r"x.jsonl:2: b'\\xff\\n' is no JSON"),
        ([1], r"x.jsonl:2: b'\[1\]\\n' is no JSON object"),
        ({"text": "x", "n": 1}, r"x.jsonl:2: messages, .* were expected, but its keys are \['n', 'text'\]"),
        ({"messages": told(ASK)}, r"x.jsonl:2: no answer of an assistant in \{'messages'.*고양이"),
        ({"messages": told(ASK, Message(role="assistant", content=" \n"))}, r"x.jsonl:2: no answer of an assistant"),
        ({"messages": []}, r"x.jsonl:2: messages: a list of messages was expected, not \[\]"),
        ({"messages": 7}, r"x.jsonl:2: messages: a list of messages was expected, not 7"),
        (
            {"messages": [*told(ASK), {"role": "tool", "tool_call_id": "a", "content": "x"}]},
            r"x.jsonl:2: messages\[1\].role: 'tool' can't be learnt, only system, developer, user, assistant; leave",
        ),
        ({"messages": [{"role": ["user"], "content": "x"}]}, r"x.jsonl:2: messages\[0\].role: \['user'\] can't be"),
        ({"messages": ["x"]}, r"x.jsonl:2: messages\[0\]: a message has role and content, unlike 'x'"),
        ({"messages": [{"role": "user", "content": None}]}, r"messages\[0\].content: text was expected, not None"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}]},
            r"x.jsonl:2: messages\[0\].content\[1\]: only parts of text can be learnt, not \{'type': 'image_url'\}",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": ["a"]}]}]},
            r"x.jsonl:2: messages\[0\].content\[0\].text: text was expected, not \['a'\]",
        ),
        (
            {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]}]},
            r"x.jsonl:2: messages\[0\].tool_calls: \[\{'id': 'a'\}\] can't be learnt; leave such conversations out",
        ),
        *(
            (
                {"messages": [*told(ASK), {**told(SAY)[0], "weight": weight}]},
                rf"x.jsonl:2: messages\[1\].weight: {weight!r} can't be kept; every answer is learnt, with weight 1",
            )
            for weight in (0, 0.0, 0.5, 2, "1", "0", True)
        ),
        *(
            (
                {"messages": [*told(ASK), {**told(SAY)[0], "train": train}]},
                rf"x.jsonl:2: messages\[1\].train: {train!r} can't be kept; every answer is learnt",
            )
            for train in (False, 0, "false")
        ),
        (
            {"prompt": "a", "completion": "b", "label": False},
            r"x.jsonl:2: label: False calls the completion a bad one; leave such rows out",
        ),
        ({"system": {"a": 1}, "messages": told(ASK, SAY)}, r"x.jsonl:2: system: text was expected, not \{'a': 1\}"),
        (
            {"system": "be rude", "messages": told(BE, ASK, SAY)},
            r"x.jsonl:2: system \{'system': 'be rude'\} beside other words of a system; give one of them",
        ),
        (
            {"system": "a", "system_prompt": "b", "messages": told(ASK, SAY)},
            r"x.jsonl:2: system and system_prompt .* beside other words of a system",
        ),
        *(
            (
                {"messages": [{**told(ASK)[0], key: said}, *told(SAY)]},
                rf"messages\[0\].{key}: .* can't be learnt; leave",
            )
            for key, said in (("name", "kim"), ("refusal", "no"), ("audio", {"id": "a"}), ("tools", "[{}]"))
        ),
        *(
            ({"messages": told(ASK, SAY), key: said}, rf"x.jsonl:2: {key}: .*'f'.* can't be learnt; leave such")
            for key, said in (("tools", [{"name": "f"}]), ("functions", ["f"]), ("chat_template_kwargs", {"f": 1}))
        ),
        ({"messages": [{**told(ASK)[0], "thinking": "x"}]}, r"messages\[0\].thinking: reasoning is an assistant's"),
        ({"messages": [{**told(SAY)[0], "reasoning": {"effort": 1}}]}, r"messages\[0\].reasoning: text was expected"),
        (
            {"messages": [*told(ASK), {**told(SAY)[0], "reasoning": "a", "thinking": "b"}]},
            r"x.jsonl:2: messages\[1\]: reasoning and thinking differ in .*; give the reasoning once",
        ),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, r"content: half a surrogate pair in '\\ud800'"),
        ({"messages": told(ASK, SAY), "id": "\ud800"}, r"x.jsonl:2: id: half a surrogate pair in '\\ud800'"),
        (
            {"chosen": "no marks"},
            r"x.jsonl:2: chosen: text that begins with '\\n\\nHuman: ' was expected, not 'no marks'",
        ),
        (
            {"prompt": "a", "completion": told(SAY, SAY)},
            r"x.jsonl:2: completion: beside a prompt one message of an assistant",
        ),
        (
            {"prompt": "\n\nHuman: a\n\nAssistant: Sure,", "completion": " yes"},
            r"x.jsonl:2: prompt: it ends in an answer, 'Sure,', and another follows; give .* answer as completion",
        ),
        ({"prompt": told(ASK, SAY), "completion": told(DONE)}, r"x.jsonl:2: prompt: it ends in an answer, '네.', and"),
    ],
)
def test_rows_that_are_no_conversation(tmp_path: Path, row: Any, said: str) -> None:
    found = read_conversations(str(write(tmp_path / "x.jsonl", {"messages": told(ASK, SAY)}, row)))
    assert next(found).messages == (ASK, SAY)
    with pytest.raises(TrainerError, match=said):
        next(found)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"messages": told(ASK, SAY)},
            r"x.jsonl:1: chosen and rejected were expected, but its keys are \['messages'\]",
        ),
        (
            {"chosen": told(ASK, SAY), "rejected": told(MORE, SAY)},
            r"x.jsonl:1: chosen and rejected differ before their last turns in .*고양이",
        ),
        ({"chosen": told(ASK, SAY), "rejected": told(ASK, MORE)}, r"x.jsonl:1: two answers of an assistant to a user"),
        ({"chosen": told(SAY), "rejected": told(DONE)}, r"x.jsonl:1: two answers of an assistant to a user"),
        ({"prompt": told(ASK, SAY), "chosen": "a", "rejected": "b"}, r"x.jsonl:1: prompt: it ends in an answer, '네.'"),
        ({"prompt": told(BE), "chosen": "a", "rejected": "b"}, r"x.jsonl:1: two answers of an assistant to a user"),
        *(
            (
                {"prompt": prompt, "chosen": told(ASK, SAY), "rejected": told(ASK, NO)},
                r"x.jsonl:1: chosen: beside a prompt .* a conversation that begins with it, not \[\{'role': 'user'",
            )
            for prompt in ("개?", "고양", told(MORE), told(BE, ASK))
        ),
        *(
            (
                {"prompt": prompt, "chosen": "\n\nHuman: 고양이?\n\nAssistant: 네.", "rejected": " 아니요."},
                r"x.jsonl:1: chosen: beside a prompt one message .* not '\\n\\nHuman: 고양이",
            )
            for prompt in ("개?", "\n\nHuman: 개?\n\nAssistant:")
        ),
        ({"prompt": "a", "chosen": " ", "rejected": "b"}, r"x.jsonl:1: the chosen answer is empty in"),
        ({"prompt": "a", "chosen": "c", "rejected": "b", "tools": "[{}]"}, r"x.jsonl:1: tools: '\[\{\}\]' can't be"),
    ],
)
def test_rows_that_are_no_preference(tmp_path: Path, row: Any, said: str) -> None:
    with pytest.raises(TrainerError, match=said):
        list(read_preferences(str(write(tmp_path / "x.jsonl", row))))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"x\.jsonl"):
        list(read_conversations(str(tmp_path / "x.jsonl")))
    write(tmp_path / "notes.txt", b"x")
    with pytest.raises(TrainerError, match=r"holds no file that ends with .jsonl, .jsonl.gz, .jsonl.zst"):
        list(read_conversations(str(tmp_path)))

"""Conversations and preferences as segments with masks, out of files and made."""

import itertools
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.chat import Conversation, Message, Preference
from schemas.training import TokenizerSpec
from trainer.chat.template import render
from trainer.errors import IntegrityError, TrainerError
from trainer.segments.chat_origin import ChatFiles, Made
from trainer.segments.read import Segments
from trainer.segments.tokenize import Progress, make, tokenize
from trainer.tokenizer import bpe
from trainer.tokenizer.tokenizer import Tokenizer

TOKENIZER = Tokenizer.from_json(
    bpe.train(["What is two and two? It is four. 둘 더하기 둘은 넷"] * 3, TokenizerSpec(vocab_size=300))
)


def talk(n: int) -> tuple[Message, ...]:
    """A question and its answer."""
    return Message(role="user", content=f"What is {n} and {n}?"), Message(role="assistant", content=f"It is {2 * n}.")


CONVERSATIONS = [Conversation(id=f"c{n}", messages=talk(n), language="en") for n in range(300)]
PREFERENCES = [
    Preference(
        id=f"p{n}",
        prompt=(*talk(n), talk(n + 1)[0]),
        chosen=talk(n + 1)[1],
        rejected=Message(role="assistant", content="No, 넷!", reasoning_content="hm" * (n % 2)),
    )
    for n in range(300)
]


def documents(segments: Segments, i: int) -> list[tuple[list[int], list[int]]]:
    """Ids and mask of each document of a segment."""
    ends = segments.starts(i)
    return [
        (segments.read(i, "tokens", a, b).tolist(), segments.read(i, "mask", a, b).tolist())
        for a, b in itertools.pairwise(ends.tolist())
    ]


def test_conversations_with_their_masks(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    rows = [{"messages": [m.model_dump() for m in c.messages], "id": c.id, "language": "en"} for c in CONVERSATIONS]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    segments = Segments.open(tokenize(str(path), "chat", TOKENIZER, str(tmp_path / "s")))
    assert (segments.manifest.kind, len(segments.manifest.segments)) == ("chat", 1)
    rendered = [render(c.messages, TOKENIZER) for c in CONVERSATIONS]
    assert documents(segments, 0) == [(ids.tolist(), mask.tolist()) for ids, mask in rendered]
    columns = segments.columns(0).to_pylist()
    assert [row["id"] for row in columns] == [c.id for c in CONVERSATIONS]
    assert [row["targets"] for row in columns] == [int(mask[1:].sum()) for _, mask in rendered]
    assert [row["bytes"] for row in columns] == [sum(len(m.content) for m in c.messages) for c in CONVERSATIONS]
    assert {row["language"] for row in columns} == {"en"}
    assert segments.manifest.targets == sum(int(mask[1:].sum()) for _, mask in rendered)


def test_a_file_that_changes_meanwhile_is_not_taken(tmp_path: Path) -> None:
    """What is sealed under a content's hash is that content, whoever writes to the file."""
    path = tmp_path / "chat.jsonl"
    line = json.dumps({"messages": [message.model_dump() for message in talk(1)]}) + "\n"
    path.write_text(line * 3)
    origin = ChatFiles(str(path), "chat")
    path.write_text(line * 4)
    with pytest.raises(IntegrityError, match=r"chat\.jsonl' has changed since it was looked at: it had "):
        make(origin, TOKENIZER, str(tmp_path / "s"))
    path.write_text(line * 3)
    segments = Segments.open(make(origin, TOKENIZER, str(tmp_path / "s")))
    assert segments.manifest.segments[0].documents == 3


def test_pairs_stay_together_and_learn_their_last_answer_alone(tmp_path: Path) -> None:
    made = Made(PREFERENCES, "preference", "here")
    segments = Segments.open(make(made, TOKENIZER, str(tmp_path), segment_tokens=1000))
    assert len(segments.manifest.segments) > 5
    assert all(segment.documents % 2 == 0 for segment in segments.manifest.segments)
    numbers = range(len(segments.manifest.segments))
    found = [document for i in numbers for document in documents(segments, i)]
    assert len(found) == 600
    for pair, (chosen, rejected) in zip(PREFERENCES, zip(found[0::2], found[1::2], strict=True), strict=True):
        for (ids, mask), answer in ((chosen, pair.chosen), (rejected, pair.rejected)):
            learnt = [n for n, m in zip(ids, mask, strict=True) if m]
            thought = f"<think>{answer.reasoning_content}</think>" if answer.reasoning_content else ""
            assert TOKENIZER.decode(learnt) == f"{thought}{answer.content}<|im_end|>"
            assert ids == render([*pair.prompt, answer], TOKENIZER)[0].tolist()


def test_of_answers_that_are_the_same_nothing_is_learnt(tmp_path: Path) -> None:
    """In words or as the template has them: the pair stays, without targets, so that plans can count it."""
    (asked, same), path = talk(1), tmp_path / "pairs.jsonl"
    blank = same.model_copy(update={"content": f" {same.content} "})
    pairs = [Preference(id=f"p{n}", prompt=(asked,), chosen=same, rejected=talk(n)[1]) for n in (1, 2)]
    pairs.append(pairs[0].model_copy(update={"rejected": blank}))
    path.write_text("".join(pair.model_dump_json() + "\n" for pair in pairs))
    trimming = TOKENIZER.chat_template.replace("message['content'] +", "message['content'] | trim +")
    trims = Tokenizer(TOKENIZER.json, TOKENIZER.names, trimming)
    for tokenizer, targets in ((TOKENIZER, [False, True, True]), (trims, [False, True, False])):
        segments = Segments.open(tokenize(str(path), "preference", tokenizer, str(tmp_path / "s")))
        found = [row["targets"] > 0 for row in segments.columns(0).to_pylist()]
        assert found == [learnt for learnt in targets for _ in range(2)]


def test_made_ones_are_keyed_by_what_they_are(tmp_path: Path) -> None:
    folders = [
        make(Made(items, kind, "here"), TOKENIZER, str(tmp_path))
        for items, kind in ((CONVERSATIONS, "chat"), (CONVERSATIONS[1:], "chat"), (PREFERENCES, "preference"))
    ]
    assert len(set(folders)) == 3
    assert make(Made(CONVERSATIONS, "chat", "elsewhere"), TOKENIZER, str(tmp_path)) == folders[0]


def test_files_are_units_in_order_of_name(tmp_path: Path) -> None:
    folder = tmp_path / "chats"
    folder.mkdir()
    for name, part in (("b", CONVERSATIONS[150:]), ("a", CONVERSATIONS[:150])):
        (folder / f"{name}.jsonl").write_text("".join(c.model_dump_json() + "\n" for c in part))
    made = [Segments.open(tokenize(str(folder), "chat", TOKENIZER, str(tmp_path / f"s{n}"), workers=n)) for n in (1, 2)]
    assert made[0].manifest == made[1].manifest
    names = [name for i in range(2) for name in made[0].columns(i, ["id"])["id"].to_pylist()]
    assert names == [c.id for c in CONVERSATIONS]


def test_goes_on_in_the_middle(tmp_path: Path) -> None:
    origin = pickle.loads(pickle.dumps(Made(CONVERSATIONS, "chat", "here")))

    def flat(start: int) -> list[Any]:
        return [ids.tolist() for chunk in origin.chunks(0, TOKENIZER, start) for ids in chunk.tokens]

    assert flat(280) == flat(0)[280:]
    assert len(flat(280)) == 20


def test_a_conversation_without_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "Hello?"}]}\n')
    with pytest.raises(TrainerError, match=r"chat.jsonl:1: no answer of an assistant"):
        tokenize(str(path), "chat", TOKENIZER, str(tmp_path / "s"))


def test_masks_are_bytes(tmp_path: Path) -> None:
    segments = Segments.open(make(Made(CONVERSATIONS, "chat", "here"), TOKENIZER, str(tmp_path)))
    mask = segments.read(0, "mask", 0, segments.manifest.segments[0].tokens)
    assert mask.dtype == np.uint8
    assert set(mask.tolist()) == {0, 1}
    assert segments.has_mask(0)


def test_reasoning_is_counted_and_named_where_a_template_leaves_it_out(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    last = {"role": "assistant", "reasoning": "둘 + 둘", "content": "넷"}
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "?"}, last]}) + "\n")
    segments = Segments.open(tokenize(str(path), "chat", TOKENIZER, str(tmp_path / "s")))
    assert segments.columns(0).to_pylist()[0]["bytes"] == len("?둘 + 둘넷".encode())
    deaf = TOKENIZER.chat_template.replace("reasoning_content", "other")
    with pytest.raises(TrainerError, match=r"^'chat\.jsonl:1': the chat template of .* leaves reasoning out"):
        tokenize(str(path), "chat", Tokenizer(TOKENIZER.json, TOKENIZER.names, deaf), str(tmp_path / "s"))


def test_what_can_not_be_rendered_is_named(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text("".join(json.dumps({"messages": [m.model_dump() for m in talk(n)]}) + "\n" for n in range(3)))
    template = "{{ raise_exception('no room for ' + messages[0].content) }}"
    refusing = Tokenizer(TOKENIZER.json, TOKENIZER.names, template)
    with pytest.raises(TrainerError, match=r"^'chat\.jsonl:1': .*no room for What is 0 and 0\?"):
        tokenize(str(path), "chat", refusing, str(tmp_path / "s"))
    with pytest.raises(TrainerError, match=r"^'p0': "):
        make(Made(PREFERENCES, "preference", "here"), refusing, str(tmp_path / "s"))


def test_every_token_is_learnt_where_not_answers_alone(tmp_path: Path) -> None:
    segments = [
        Segments.open(make(Made(CONVERSATIONS, "chat", "here", answers_only), TOKENIZER, str(tmp_path)))
        for answers_only in (True, False)
    ]
    assert [each.has_mask(0) for each in segments] == [True, False]
    masked, whole = (each.manifest.segments[0] for each in segments)
    assert whole.targets == whole.tokens - whole.documents > masked.targets
    assert segments[0].read(0, "tokens", 0, 99).tolist() == segments[1].read(0, "tokens", 0, 99).tolist()


def test_a_file_more_leaves_the_others_sealed(tmp_path: Path) -> None:
    folder = tmp_path / "chats"
    folder.mkdir()
    told: list[Progress] = []
    for name, part in (("b", CONVERSATIONS[200:]), ("a", CONVERSATIONS[:200])):
        (folder / f"{name}.jsonl").write_text("".join(c.model_dump_json() + "\n" for c in part))
        made = tokenize(str(folder), "chat", TOKENIZER, str(tmp_path / "s"), workers=1, progress=told.append)
    assert next((state.units, state.of, state.documents) for state in told if state.of == 2) == (1, 2, 100)
    afresh = tokenize(str(folder), "chat", TOKENIZER, str(tmp_path / "afresh"), workers=1)
    assert Segments.open(made).manifest == Segments.open(afresh).manifest
    masked = tokenize(str(folder), "chat", TOKENIZER, str(tmp_path / "s"), answers_only=False)
    names = [[entry.name for entry in Segments.open(path).manifest.segments] for path in (made, masked)]
    assert not set(names[0]) & set(names[1])

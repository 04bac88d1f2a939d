"""The decoder as a whole: documents, checkpointing, contexts, weights to start with, generation."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from schemas.training import ModelSpec, RopeScaling
from tests.trainer.model.randomised import SPECS, VOCAB, randomised, tokens
from trainer.errors import TrainerError
from trainer.model.attention import Body
from trainer.model.cache import KeyValueCache
from trainer.model.cross_entropy import cross_entropy
from trainer.model.decoder import Decoder
from trainer.model.generate import generate

SIZES = (11, 1, 20, 8)
"""Of the documents in a packed row of 40."""
DOCUMENTS = torch.tensor([n for n, size in enumerate(SIZES) for _ in range(size)], dtype=torch.int32).expand(2, -1)
POSITIONS = torch.cat([torch.arange(size) for size in SIZES]).expand(2, -1)


@pytest.mark.parametrize("body", ["sdpa", "plain"])
@pytest.mark.parametrize("name", SPECS)
def test_changing_one_document_changes_no_bit_of_another(name: str, body: Body) -> None:
    decoder = randomised(name, torch.float32)
    decoder.body = body
    ids = tokens(2, 40)
    other = torch.where(DOCUMENTS == 0, (ids + 1) % VOCAB, ids)
    with torch.no_grad():
        before, after = (decoder(x, positions=POSITIONS, documents=DOCUMENTS) for x in (ids, other))
    assert torch.equal(before[DOCUMENTS > 0], after[DOCUMENTS > 0])
    assert not torch.equal(before[:, 10], after[:, 10])


@pytest.mark.parametrize("name", SPECS)
def test_a_packed_document_is_as_it_is_alone(name: str) -> None:
    decoder = randomised(name)
    ids = tokens(2, 40)
    whole, start = decoder(ids, positions=POSITIONS, documents=DOCUMENTS), 0
    for size in SIZES:
        alone = decoder(ids[:, start : start + size])
        assert (whole[:, start : start + size] - alone).abs().max() <= 1e-12
        start += size


@pytest.mark.parametrize("name", SPECS)
def test_padding_behind_a_document_changes_no_bit(name: str) -> None:
    decoder = randomised(name, torch.float32)
    ids, ids_with_others = tokens(2, 40), tokens(2, 40)
    ids_with_others[:, 30:] = 0
    padded = torch.where(torch.arange(40) < 30, 0, -1).to(torch.int32).expand(2, -1)
    with torch.no_grad():
        masked = decoder(ids_with_others, documents=padded)
        assert torch.equal(decoder(ids)[:, :30], masked[:, :30])
        assert bool(masked.isfinite().all())


def losses_and_gradients(decoder: Decoder) -> list[Tensor]:
    ids = tokens(2, 40)
    hidden = decoder(ids, positions=POSITIONS, documents=DOCUMENTS)
    total, count = cross_entropy(hidden, decoder.output_weight, ids.roll(-1, 1), (DOCUMENTS != 1).float())
    decoder.zero_grad()
    (total / count).backward()
    return [total.detach(), *(parameter.grad.clone() for parameter in decoder.parameters())]


@pytest.mark.parametrize("name", SPECS)
def test_checkpointed_activations_give_the_same_bits(name: str) -> None:
    decoder = randomised(name, torch.float32)
    kept = losses_and_gradients(decoder)
    decoder.checkpoint_activations = True
    again = losses_and_gradients(decoder)
    assert all(torch.equal(a, b) for a, b in zip(kept, again, strict=True))


def test_checkpointing_keeps_one_tensor_a_block() -> None:
    def kept(checkpointed: bool, layers: int) -> int:
        decoder = Decoder(SPECS["llama"].model_copy(update={"layers": layers}), VOCAB)
        decoder.checkpoint_activations = checkpointed
        sizes: dict[int, int] = {}
        own = {parameter.untyped_storage().data_ptr() for parameter in decoder.parameters()}

        def pack(x: Tensor) -> Tensor:
            if x.untyped_storage().data_ptr() not in own:
                sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            held.append(x)
            return x

        held: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            decoder(tokens(4, 64)).sum()
        return sum(sizes.values())

    stream = 4 * 64 * 32 * 4
    assert kept(True, 5) - kept(True, 4) == stream
    assert kept(False, 5) - kept(False, 4) > 10 * stream


def test_the_same_bits_every_time() -> None:
    runs = [losses_and_gradients(randomised("llama3.1", torch.float32)) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


@pytest.mark.parametrize("name", ["gpt2", "llama3.1"])
def test_under_autocast_activations_are_narrow(name: str) -> None:
    decoder = randomised(name, torch.float32)
    ids = tokens(2, 40)
    with torch.no_grad():
        exact = decoder.logits(decoder(ids))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = decoder(ids)
            logits = decoder.logits(hidden)
    assert (hidden.dtype, logits.dtype) == (torch.bfloat16, torch.float32)
    assert (logits - exact).abs().max() <= 0.05 * exact.abs().max()


def test_compiled_it_computes_the_same() -> None:
    """Traced into one graph, masks and all; without code generation, which takes minutes."""
    decoder = randomised("llama3.1", torch.float32)
    ids = tokens(2, 40)
    compiled = torch.compile(decoder, backend="aot_eager", dynamic=False, fullgraph=True)
    for arguments in ({}, {"positions": POSITIONS, "documents": DOCUMENTS.contiguous()}):
        assert torch.equal(compiled(ids, **arguments), decoder(ids, **arguments))
    decoder.set_context(4096, 5e6, None)
    assert torch.equal(compiled(ids), decoder(ids))


def weights(seed: int, name: str = "llama") -> dict[str, Tensor]:
    return Decoder(SPECS[name], VOCAB, generator=torch.Generator().manual_seed(seed)).state_dict()


def test_initial_weights_depend_on_their_generator_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = weights(5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert all(torch.equal(weight, one[name]) for name, weight in weights(5).items())
    assert not torch.equal(weights(6)["embedding.weight"], one["embedding.weight"])


def test_initial_weights_are_gpt2s() -> None:
    spec = ModelSpec(family="gpt2", layers=8, dim=128, heads=4, context=256)
    into_stream = 0.02 / 16**0.5
    for name, weight in Decoder(spec, 1000).named_parameters():
        if name.endswith(".bias"):
            assert not weight.any(), name
        elif weight.dim() == 1:
            assert bool((weight == 1).all()), name
        else:
            expected = into_stream if name.endswith(("attention.output.weight", "down.weight")) else 0.02
            assert abs(weight.std() / expected - 1) < 0.03, name
            assert abs(weight.mean()) < 0.03 * expected, name


def test_on_the_meta_device_no_weight_is_drawn() -> None:
    with torch.device("meta"):
        decoder = Decoder(SPECS["llama"], VOCAB)
    assert {parameter.device.type for parameter in decoder.parameters()} == {"meta"}


@pytest.mark.parametrize("name", SPECS)
def test_parameters_are_as_many_as_the_shape_says(name: str) -> None:
    decoder = Decoder(SPECS[name], VOCAB)
    counted, held = decoder.shape.parameters, dict(decoder.named_parameters())
    assert counted.total == sum(parameter.numel() for parameter in held.values())
    assert counted.matrices == sum(p.numel() for n, p in held.items() if n.startswith("blocks") and p.dim() == 2)
    assert counted.vectors == sum(p.numel() for p in held.values() if p.dim() == 1)


def test_sizes_left_open_are_filled_in() -> None:
    gated = Decoder(ModelSpec(family="llama", layers=1, dim=96, heads=3, context=8), 10).shape
    assert (gated.kv_heads, gated.ffn_dim, gated.head_dim) == (3, 256, 32)
    assert Decoder(ModelSpec(family="gpt2", layers=1, dim=96, heads=3, context=8), 10).shape.ffn_dim == 384


def test_a_lengthened_context_turns_otherwise_and_is_kept() -> None:
    decoder = randomised("llama")
    before = decoder(tokens(1, 24))
    decoder.set_context(48, 1e6, None)
    assert (decoder.spec.context, decoder.spec.rope_theta) == (48, 1e6)
    assert not torch.equal(decoder(tokens(1, 24)), before)
    decoder.set_context(48, 10_000.0, RopeScaling(original_context=24))
    assert not torch.equal(decoder(tokens(1, 24)), before)
    decoder.set_context(24, 10_000.0, None)
    assert torch.equal(decoder(tokens(1, 24)), before)


def test_a_table_of_positions_has_the_length_it_has() -> None:
    decoder = randomised("gpt2")
    decoder.set_context(96, 1e6, None)
    assert decoder.spec == randomised("gpt2").spec
    with pytest.raises(TrainerError, match="table of 96 positions and can't change to the context 192"):
        decoder.set_context(192, 1e4, None)


def recomputed(decoder: Decoder, ids: list[int], new: int) -> list[int]:
    """The likeliest tokens, each from all that came before, without a cache."""
    ids = list(ids)
    for _ in range(new):
        with torch.no_grad():
            ids.append(int(decoder.logits(decoder(torch.tensor([ids])))[0, -1].argmax()))
    return ids


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_generation_equals_full_recomputation(name: str, dtype: torch.dtype) -> None:
    decoder = randomised(name, dtype)
    prompt = tokens(1, 9)[0].tolist()
    found = list(generate(decoder, prompt, max_new_tokens=14))
    assert prompt + found == recomputed(decoder, prompt, 14)


@pytest.mark.parametrize("name", SPECS)
def test_logits_with_a_cache_are_those_without(name: str) -> None:
    decoder, ids = randomised(name), tokens(3, 40)
    whole = decoder(ids)
    cache = KeyValueCache(decoder.spec, 3, 40, dtype=torch.float64)
    parts, start = [], 0
    with torch.no_grad():
        for size in (7, 1, 1, 20, 11):
            parts.append(decoder(ids[:, start : start + size], cache=cache))
            start += size
        assert (torch.cat(parts, 1) - whole).abs().max() <= 1e-12
        cache.rewind(29)
        assert (decoder(ids[:, 29:], cache=cache) - whole[:, 29:]).abs().max() <= 1e-12
        with pytest.raises(TrainerError, match="40 positions can't take 41"):
            decoder(ids[:, :1], cache=cache)
        with pytest.raises(TrainerError, match="behind 40 cached positions"):
            decoder(ids[:, :1], cache=cache, documents=DOCUMENTS[:1, :1])


def test_generation_ends_where_it_should() -> None:
    decoder = randomised("llama")
    prompt = tokens(1, 20)[0].tolist()
    assert decoder.spec.context == 24
    whole = list(generate(decoder, prompt, max_new_tokens=100))
    assert len(whole) == 4
    assert list(generate(decoder, prompt, max_new_tokens=2)) == whole[:2]
    assert list(generate(decoder, prompt, max_new_tokens=0)) == []
    stop = next(n for n, number in enumerate(whole) if number not in whole[:n] and n > 0)
    assert list(generate(decoder, prompt, max_new_tokens=100, stop_ids={whole[stop]})) == whole[:stop]


@pytest.mark.parametrize(
    ("ids", "options", "told"),
    [
        ([], {}, "a prompt of 0 tokens"),
        ([1] * 24, {}, "a prompt of 24 tokens"),
        ([1], {"temperature": -1.0}, "temperature -1.0"),
        ([1], {"temperature": float("nan")}, "temperature nan"),
        ([1], {"top_p": 0.0}, "top_p 0.0"),
    ],
)
def test_what_cannot_be_generated_is_told_at_once(ids: list[int], options: dict[str, float], told: str) -> None:
    with pytest.raises(TrainerError, match=told):
        generate(randomised("llama"), ids, max_new_tokens=1, **options)


class Fixed(Decoder):
    """Answers every prompt with the same probabilities."""

    shares = (0.05, 0.4, 0.25, 0.3)

    def logits(self, hidden: Tensor) -> Tensor:
        return torch.tensor(self.shares).log()


def drawn(count: int, **options: float | int | None) -> list[int]:
    decoder = Fixed(SPECS["llama"].model_copy(update={"context": 5000}), 4)
    return list(generate(decoder, [0], max_new_tokens=count, **options))


def test_draws_follow_the_probabilities_and_repeat() -> None:
    found = drawn(2000, temperature=1.0, seed=3)
    for number, share in enumerate(Fixed.shares):
        assert abs(found.count(number) / 2000 - share) < 4 * (share * (1 - share) / 2000) ** 0.5
    assert drawn(50, temperature=1.0, seed=3) == found[:50]
    assert drawn(50, temperature=1.0, seed=4) != found[:50]


def share_of(number: int, found: list[int]) -> float:
    return found.count(number) / len(found)


def test_temperature_sharpens_and_the_nucleus_cuts_off() -> None:
    sharp = drawn(1000, temperature=0.5)
    squares = [share**2 for share in Fixed.shares]
    assert abs(share_of(1, sharp) - squares[1] / sum(squares)) < 0.06
    nucleus = drawn(1000, temperature=1.0, top_p=0.69)
    assert set(nucleus) == {1, 3}
    assert abs(share_of(1, nucleus) - 0.4 / 0.7) < 0.06
    assert set(drawn(200, temperature=1.0, top_p=0.71)) == {1, 2, 3}
    assert set(drawn(50, temperature=1.0, top_p=0.01)) == {1}
    assert set(drawn(50, temperature=0.0)) == {1}
    assert set(drawn(200, temperature=1.0, vocabulary=2)) == {0, 1}


@pytest.mark.parametrize("training", [True, False])
def test_generation_leaves_the_mode_as_it_was(training: bool) -> None:
    decoder = randomised("llama").train(training)
    ask: Callable[[], list[int]] = lambda: list(generate(decoder, [1, 2], max_new_tokens=3))  # noqa: E731
    assert len(ask()) == 3
    assert decoder.training is training

"""The decoder as a compiler sees it: whole, a graph a length, its rotary angles worked out once.

What a GPU would run is traced on a CPU; backends run the traced operations as they are.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from functorch.compile import make_boxed_func, min_cut_rematerialization_partition
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch.fx import GraphModule

from schemas.training import ModelSpec
from trainer.model.attention import Body
from trainer.model.cross_entropy import cross_entropy
from trainer.model.decoder import Decoder

SPEC = ModelSpec(family="llama", layers=2, dim=64, heads=4, kv_heads=2, ffn_dim=96, context=512, tied=True)


@pytest.fixture(autouse=True)
def _flex_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU takes FlexAttention's dense gradients."""
    monkeypatch.setattr("torch.nn.attention.flex_attention._validate_device", lambda *heads: None)
    torch._dynamo.reset()


class Traced:
    """A backend that notes the operations of each forward and backward graph."""

    def __init__(self) -> None:
        self.forward: list[Counter[str]] = []
        self.backward: list[Counter[str]] = []
        self.backend: Any = aot_autograd(
            fw_compiler=self._noting(self.forward),
            bw_compiler=self._noting(self.backward),
            partition_fn=min_cut_rematerialization_partition,
        )

    def _noting(self, found: list[Counter[str]]) -> Callable[[GraphModule, Any], Any]:
        def compiler(graph: GraphModule, inputs: Any) -> Any:
            found.append(Counter(str(node.target) for node in graph.graph.nodes if node.op == "call_function"))
            return make_boxed_func(graph.forward)

        return compiler


def gradients(model: Decoder, run: Any, length: int, packed: bool, narrow: bool = True) -> list[Tensor]:
    """Hidden states and all gradients, on the CPU; the products in bfloat16 or in float32."""
    device = model.output_weight.device
    tokens = (torch.arange(2 * length).view(2, length) % 97).to(device)
    places = torch.arange(length, device=device).expand(2, -1)
    documents = (places // 150).to(torch.int32).contiguous() if packed else None
    positions = (places % 150).contiguous() if packed else None
    model.zero_grad()
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=narrow):
        hidden = run(tokens, positions=positions, documents=documents)
        total, count = cross_entropy(hidden, model.output_weight, tokens, torch.ones(2, length, device=device))
    torch.autograd.backward(total / count)
    found = [hidden.detach(), *(weight.grad.clone() for weight in model.parameters() if weight.grad is not None)]
    return [value.cpu() for value in found]


@pytest.mark.parametrize("checkpoint_activations", [False, True])
@pytest.mark.parametrize("packed", [True, False])
def test_one_graph_a_length_and_what_it_computes(packed: bool, checkpoint_activations: bool) -> None:
    """`fullgraph` refuses whatever would break the graph, reading a tensor's value included."""
    body: Body = "flex" if packed else "sdpa"
    model = Decoder(SPEC, 97, body=body, checkpoint_activations=checkpoint_activations)
    plain, traced = Decoder(SPEC, 97, body="plain"), Traced()
    compiled = torch.compile(model, dynamic=False, fullgraph=True, backend=traced.backend)
    for length in (300, 200, 300):
        found, expected = gradients(model, compiled, length, packed), gradients(plain, plain, length, packed)
        assert len(found) == len(expected) == 1 + len(list(model.parameters()))
        for one, other in zip(found, expected, strict=True):
            assert (one - other).abs().max() <= 0.02 * max(1.0, float(other.abs().max()))
    assert len(traced.forward) == len(traced.backward) == 2
    for forward, backward in zip(traced.forward, traced.backward, strict=True):
        assert forward["gristmill.rotation.default"] == 1
        assert not {"aten.cos.default", "aten.sin.default"} & {*forward, *backward}
        assert not backward["gristmill.rotation.default"]
        assert forward["flex_attention"] == (SPEC.layers if body == "flex" else 0)
        assert backward["flex_attention_backward"] == forward["flex_attention"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="compiles for a GPU")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("length", [300, 96])  # the shorter one is below FlexAttention's blocks
@pytest.mark.parametrize("packed", [True, False])
def test_a_gpu_computes_what_a_cpu_does_and_twice_the_same(
    packed: bool, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    model, plain = Decoder(SPEC, 97).to("cuda"), Decoder(SPEC, 97, body="plain")
    compiled = torch.compile(model, dynamic=False, fullgraph=True)
    torch.use_deterministic_algorithms(True)
    try:
        found, again = (gradients(model, compiled, length, packed, narrow=False) for _ in range(2))
        narrow = gradients(model, compiled, length, packed)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))
    expected = gradients(plain, plain, length, packed, narrow=False)
    for bound, values in ((1e-4, found), (0.02, narrow)):
        for one, other in zip(values, expected, strict=True):
            assert (one - other).abs().max() <= bound * max(1.0, float(other.abs().max()))

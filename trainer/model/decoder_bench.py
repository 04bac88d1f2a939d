"""Tokens a second of forward and backward passes, ours against a plain GPT of the same shape, in turns within one run.

    python -m trainer.model.decoder_bench [--layers 6 --dim 384 --heads 6 --vocab 50304 --rows 4 --seq 512]
        [--threads 2] [--rounds 7]
    python -m trainer.model.decoder_bench --gpu [--rows 8] [--rounds 20]

On a CPU: GPT-2's family in float32, eager. The peer is written as nanoGPT is: one matrix for queries, keys and values,
torch's SDPA, the exact GELU, tied embeddings, cross-entropy over the logits of all positions. On a GPU: a Llama of 1.1
billion parameters, bf16 autocast over float32 weights, compiled, rows of 2,048 in one document and packed; model FLOPs
utilisation counts 6N + 12LdT a token of 989e12 (an H100's or H200's dense bf16 peak), beside the rate of a plain matrix
product of 8,192 cubed. Data: random ids, seed 0. Prints one JSON line, medians over rounds.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from schemas.training import ModelSpec
from trainer.model.cross_entropy import cross_entropy
from trainer.model.decoder import Decoder

PEAK = 989e12


class PlainBlock(nn.Module):
    """A layer as nanoGPT has it."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[rows, seq, dim] -> the same."""
        q, k, v = (
            part.view(*x.shape[:2], self.heads, -1).transpose(1, 2)
            for part in self.qkv(self.norms[0](x)).split(x.shape[-1], dim=2)
        )
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).contiguous().view(x.shape))
        return cast(Tensor, x + self.down(functional.gelu(self.up(self.norms[1](x)))))


class PlainGpt(nn.Module):
    """GPT-2 as nanoGPT has it."""

    def __init__(self, spec: ModelSpec, vocab_size: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocab_size, spec.dim), nn.Embedding(spec.context, spec.dim)
        self.blocks = nn.Sequential(*(PlainBlock(spec.dim, spec.heads) for _ in range(spec.layers)))
        self.norm = nn.LayerNorm(spec.dim)
        self.output = nn.Linear(spec.dim, vocab_size, bias=False)
        self.output.weight = self.tokens.weight

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """The mean loss."""
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1], device=tokens.device))
        logits = self.output(self.norm(self.blocks(x)))
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1), ignore_index=-1)


def our_step(model: nn.Module, output: Tensor, tokens: Tensor, documents: Tensor | None = None) -> None:
    """Forwards and backwards."""
    weights = torch.ones(tokens.shape, device=tokens.device)
    total, count = cross_entropy(model(tokens, documents=documents), output, tokens, weights)
    torch.autograd.backward(total / count)


def seconds(work: Callable[[], object], *, synchronise: bool = False) -> float:
    """Of one call."""
    if synchronise:
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if synchronise:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def on_cpu(args: argparse.Namespace) -> dict[str, object]:
    """Ours and the peer's, in turns."""
    torch.set_num_threads(args.threads)
    spec = ModelSpec(family="gpt2", layers=args.layers, dim=args.dim, heads=args.heads, context=args.seq)
    ours, peer = Decoder(spec, args.vocab), PlainGpt(spec, args.vocab)
    tokens = torch.randint(0, args.vocab, (args.rows, args.seq), generator=torch.Generator().manual_seed(0))

    def step_ours() -> None:
        ours.zero_grad(set_to_none=True)
        our_step(ours, ours.output_weight, tokens)

    def step_peer() -> None:
        peer.zero_grad(set_to_none=True)
        torch.autograd.backward(peer(tokens, tokens))

    times: dict[str, list[float]] = {"ours": [], "plain_gpt": []}
    for turn in range(args.rounds + 1):
        for name, step in (("ours", step_ours), ("plain_gpt", step_peer)):
            took = seconds(step)
            if turn:
                times[name].append(took)
    rates = {name: tokens.numel() / statistics.median(found) for name, found in times.items()}
    return {
        "device": "cpu",
        "threads": args.threads,
        "parameters": ours.shape.parameters.total,
        "tokens_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        "ours_over_plain_gpt": round(statistics.median(b / a for a, b in zip(*times.values(), strict=True)), 3),
    }


def on_gpu(args: argparse.Namespace) -> dict[str, object]:
    """Model FLOPs utilisation at a billion parameters, rows of 2,048."""
    device, seq = torch.device("cuda"), 2048
    spec = ModelSpec(family="llama", layers=20, dim=2048, heads=16, kv_heads=16, ffn_dim=5632, context=seq, tied=True)
    model = Decoder(spec, 50_304).to(device)
    compiled = cast(nn.Module, torch.compile(model, dynamic=False))
    tokens = torch.randint(0, 50_304, (args.rows, seq), generator=torch.Generator().manual_seed(0)).to(device)
    documents = (torch.arange(seq, device=device) // 700).to(torch.int32).expand(args.rows, -1).contiguous()
    result: dict[str, object] = {"device": torch.cuda.get_device_name(), "parameters": model.shape.parameters.total}
    for name, within in (("one_document", None), ("packed", documents)):

        def step(within: Tensor | None = within) -> None:
            model.zero_grad(set_to_none=True)
            with torch.autocast("cuda", dtype=torch.bfloat16):
                our_step(compiled, model.output_weight, tokens, within)

        for _ in range(3):
            step()
        torch.cuda.reset_peak_memory_stats()
        took = statistics.median(seconds(step, synchronise=True) for _ in range(args.rounds))
        rate = tokens.numel() / took
        result[name] = {
            "tokens_per_second": round(rate),
            "mfu": round(rate * model.shape.flops(seq) / PEAK, 4),
            "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
        }
    a = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    took = statistics.median(seconds(lambda: torch.mm(a, a), synchronise=True) for _ in range(20))
    return {**result, "matrix_product_of_peak": round(2 * 8192**3 / took / PEAK, 4)}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gpu", action="store_true")
    for name, default in (("layers", 6), ("dim", 384), ("heads", 6), ("vocab", 50_304), ("rows", 4), ("seq", 512)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    print(json.dumps(on_gpu(args) if args.gpu else on_cpu(args)))


if __name__ == "__main__":
    main()

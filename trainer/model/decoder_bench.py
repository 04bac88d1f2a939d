"""Tokens a second of training steps, ours against nanoGPT's of the same shape, in turns within one run.

    python -m trainer.model.decoder_bench --nanogpt DIR [--layers 6 --dim 384 --heads 6 --vocab 50304 --rows 4
        --seq 512] [--threads 2] [--rounds 7]
    python -m trainer.model.decoder_bench --gpu [--rows 8] [--rounds 20]

On a CPU: GPT-2's family in float32, eager; a step is the forward and backward pass, clipping and AdamW. DIR is a
checkout of https://github.com/karpathy/nanoGPT, whose `model.py` is run as it is, with biases and without dropout. On a
GPU, ours alone without the optimizer: a Llama of 1.1 billion parameters, bf16 autocast over float32 weights, compiled,
rows of 2,048 in one document and packed; model FLOPs utilisation counts 6N + 12LdT a token of 989e12 (an H100's or
H200's dense bf16 peak), beside the rate of a plain matrix product of 8,192 cubed. Data: random ids, seed 0. Prints one
JSON line, medians over rounds.
"""

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from schemas.training import ModelSpec, OptimizerSpec
from trainer.model.cross_entropy import cross_entropy
from trainer.model.decoder import Decoder
from trainer.optim.optimizer import Optimizer

PEAK = 989e12


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
    """Ours and nanoGPT's, in turns."""
    torch.set_num_threads(args.threads)
    spec = ModelSpec(family="gpt2", layers=args.layers, dim=args.dim, heads=args.heads, context=args.seq)
    ours, settings = Decoder(spec, args.vocab), OptimizerSpec(betas=(0.9, 0.95))
    optimizer = Optimizer(ours, settings)
    tokens = torch.randint(0, args.vocab, (args.rows, args.seq), generator=torch.Generator().manual_seed(0))

    def step() -> None:
        ours.zero_grad(set_to_none=True)
        our_step(ours, ours.output_weight, tokens)
        nn.utils.clip_grad_norm_(ours.parameters(), settings.clip)
        optimizer.step(1e-4)

    steps = {"ours": step, "nanogpt": nanogpt_step(args, tokens, settings)}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(args.rounds + 1):
        for name, one in steps.items():
            took = seconds(one)
            if turn:
                times[name].append(took)
    rates = {name: tokens.numel() / statistics.median(found) for name, found in times.items()}
    return {
        "device": "cpu",
        "threads": args.threads,
        "parameters": ours.shape.parameters.total,
        "tokens_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        "ours_over_nanogpt": round(statistics.median(b / a for a, b in zip(*times.values(), strict=True)), 3),
    }


def nanogpt_step(args: argparse.Namespace, tokens: Tensor, settings: OptimizerSpec) -> Callable[[], None]:
    """A training step of nanoGPT's own model and optimizer on a batch."""
    sys.path.insert(0, args.nanogpt)
    theirs = importlib.import_module("model")
    shape = {"n_layer": args.layers, "n_head": args.heads, "n_embd": args.dim, "dropout": 0.0, "bias": True}
    model = theirs.GPT(theirs.GPTConfig(block_size=args.seq, vocab_size=args.vocab, **shape))
    optimizer = model.configure_optimizers(settings.weight_decay, 1e-4, settings.betas, "cpu")

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(model(tokens, tokens)[1])
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimizer.step()

    return step


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
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--gpu", action="store_true")
    what.add_argument("--nanogpt", metavar="DIR")
    for name, default in (("layers", 6), ("dim", 384), ("heads", 6), ("vocab", 50_304), ("rows", 4), ("seq", 512)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    print(json.dumps(on_gpu(args) if args.gpu else on_cpu(args)))


if __name__ == "__main__":
    main()

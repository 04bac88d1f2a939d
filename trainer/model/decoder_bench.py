"""Tokens a second of training steps, ours against nanoGPT's or nanochat's of the same shape, in turns within one run.

    python -m trainer.model.decoder_bench --nanogpt DIR [--layers 6 --dim 384 --heads 6 --vocab 50304 --rows 4
        --seq 512] [--threads 2] [--rounds 7]
    python -m trainer.model.decoder_bench --gpu [--nanochat DIR] [--rows 8 --accumulate 4] [--rounds 7]
        [--deterministic]
    python -m trainer.model.decoder_bench --gpu --device cpu --layers 2 --dim 64 --heads 2 --vocab 512 --rows 2 --seq 64
        [--nanochat DIR] --rounds 1

On a CPU: GPT-2's family in float32, eager; a step is the forward and backward pass, clipping and AdamW. DIR is a
checkout of https://github.com/karpathy/nanoGPT, whose `model.py` is run as it is, with biases and without dropout.

On a GPU: a Llama of 1.1 billion parameters (20 layers of 2,048, 16 heads, SwiGLU of 5,632, tied), bf16 autocast over
float32 weights, compiled, rows of 2,048 tokens. `one_document` attends by SDPA, `packed` (documents of 700) by
FlexAttention, as training on a GPU always does. Passes are a forward and backward pass of a micro-batch; steps are
`accumulate` of them, the norm of the gradient, clipping and the optimizer, as in `trainer.train.loop`. MFU counts
6 N + 12 L d T a token of the device's peak (`trainer.model.devices`), beside the rate of a plain bf16 matrix product of
8,192 cubed. --deterministic does what the recipe's key does.

DIR of --nanochat is a checkout of https://github.com/karpathy/nanochat, whose `gpt.py` and `optim.py` are run as its
`base_train.py` does: compiled, weights cast to bf16 in each product, MuonAdamW, loss over all logits at once. Its shape
is ours: 20 layers of 2,048, 16 heads, the same vocabulary and full attention in every layer (`window_pattern` L). Its
net of two matrices, 4 x 2,048 wide, makes 1.110 billion multiplied parameters of our 1.131, so that it has 2 % less to
do for a token. Its value embeddings are left out: a billion parameters more, looked up, which would only slow it. It
takes FlashAttention 3 where the package `kernels` has it, else SDPA, as it says itself.

The last command is the GPU's path on a CPU, eager, to see that it runs. Data: random ids, seed 0. Prints one JSON line,
medians over rounds; what is done so far goes to stderr.
"""

import argparse
import contextlib
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from schemas.training import ModelSpec, OptimizerSpec
from trainer.model.cross_entropy import cross_entropy
from trainer.model.decoder import Decoder
from trainer.model.devices import peak_flops
from trainer.optim.optimizer import Optimizer
from trainer.train.gradients import Gradients
from trainer.train.precision import autocast, compile_model, make_deterministic

Works = Mapping[str, Callable[[], object]]


def our_step(model: nn.Module, output: Tensor, tokens: Tensor, documents: Tensor | None = None) -> None:
    """Forwards and backwards."""
    weights = torch.ones(tokens.shape, device=tokens.device)
    total, count = cross_entropy(model(tokens, documents=documents), output, tokens, weights, compiled=True)
    torch.autograd.backward(total / count)


def seconds(work: Callable[[], object]) -> float:
    """Of one call, until the device is done."""
    synchronise()
    start = time.perf_counter()
    work()
    synchronise()
    return time.perf_counter() - start


def synchronise() -> None:
    """Waits for a GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def in_turns(works: Works, rounds: int, idle: int = 1) -> dict[str, list[float]]:
    """Seconds of each call, by round; rounds before the first count for nothing."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(-idle, rounds):
        for name, work in works.items():
            took = seconds(work)
            if turn >= 0:
                times[name].append(took)
            else:
                print(f"{name}: {took:.3f} s to begin with", file=sys.stderr)
    return times


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

    times = in_turns({"ours": step, "nanogpt": nanogpt_step(args, tokens, settings)}, args.rounds)
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
    """Model FLOPs utilisation, ours and nanochat's."""
    device = torch.device(args.device)
    torch.manual_seed(0)
    make_deterministic(device, args.deterministic, compiled=device.type == "cuda")
    peak, tokens = peak_flops(device), torch.randint(0, args.vocab, (args.rows, args.seq)).to(device)
    shape = {"layers": args.layers, "dim": args.dim, "heads": args.heads, "context": args.seq}
    model = Decoder(ModelSpec(family="llama", tied=True, **shape), args.vocab).to(device)
    ours = our_works(args, model, tokens)
    in_turns(ours, 0)
    result: dict[str, object] = {
        "device": torch.cuda.get_device_name(device) if peak else device.type,
        "torch": torch.__version__,
        "rows": args.rows,
        "accumulate": args.accumulate,
        "deterministic": args.deterministic,
        "parameters": model.shape.parameters.total,
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
        "matrix_product": matrix_product(device, peak, 8192 if device.type == "cuda" else 256),
    }
    theirs, their_flops = nanochat_works(args, tokens) if args.nanochat else ({}, 0)
    times = in_turns({**ours, **theirs}, args.rounds, idle=2)
    for name, took in times.items():
        counted = tokens.numel() * (args.accumulate if "step" in name else 1)
        rate = counted / statistics.median(took)
        flops = their_flops if name in theirs else model.shape.flops(args.seq)
        result[name] = {"tokens_per_second": round(rate), "mfu": round(rate * flops / peak, 4) if peak else None}
    if theirs:
        pairs = (("one_document", "nanochat"), ("one_document_step_muon", "nanochat_step"))
        result["ours_over_nanochat"] = {
            mine: round(statistics.median(b / a for a, b in zip(times[mine], times[other], strict=True)), 3)
            for mine, other in pairs
        }
    return result


def matrix_product(device: torch.device, peak: float | None, size: int) -> dict[str, float | None]:
    """The rate of a plain bf16 product of random numbers, of which none is a zero."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    work: Works = {"matrix product": lambda: torch.mm(a, b)}
    rate = 2 * size**3 / statistics.median(in_turns(work, 20, idle=3)["matrix product"])
    return {"tflops": round(rate / 1e12, 1), "of_peak": round(rate / peak, 4) if peak else None}


def our_works(args: argparse.Namespace, model: Decoder, tokens: Tensor) -> Works:
    """Passes and steps, of one document and packed."""
    device, settings, gradients = tokens.device, OptimizerSpec(), Gradients(model.parameters())
    if device.type == "cuda":
        compile_model(model)
    packed = (torch.arange(args.seq, device=device) // 700).to(torch.int32).expand(args.rows, -1).contiguous()

    def passes(documents: Tensor | None) -> None:
        with autocast(device, "bf16"):
            our_step(model, model.output_weight, tokens, documents)

    def step(documents: Tensor | None, optimizer: Optimizer) -> None:
        gradients.zero()
        for _ in range(args.accumulate):
            passes(documents)
        norm = float(gradients.norm()) / args.accumulate
        gradients.scale(settings.clip / max(norm, settings.clip) / args.accumulate)
        optimizer.step(1e-4)

    works: dict[str, Callable[[], object]] = {}
    optimizers = {name: Optimizer(model, OptimizerSpec(name=name)) for name in ("adamw", "muon")}
    for what, documents in (("one_document", None), ("packed", packed)):
        works[what] = partial(passes, documents)
        for name, optimizer in optimizers.items():
            works[f"{what}_step_{name}"] = partial(step, documents, optimizer)
    return works


def nanochat_works(args: argparse.Namespace, tokens: Tensor) -> tuple[Works, float]:
    """Passes and steps of nanochat's own model and optimizer, and its count of FLOPs a token."""
    sys.path.insert(0, args.nanochat)
    torch.set_float32_matmul_precision("high")
    shape = {"n_layer": args.layers, "n_head": args.heads, "n_kv_head": args.heads, "n_embd": args.dim}
    with contextlib.redirect_stdout(sys.stderr):  # it says what it does
        theirs: Any = importlib.import_module("nanochat.gpt")
        theirs.has_ve = lambda *_: False
        with torch.device("meta"):
            model = theirs.GPT(theirs.GPTConfig(args.seq, args.vocab, **shape, window_pattern="L"))
        model.to_empty(device=tokens.device)
        model.init_weights()
        optimizer, targets = model.setup_optimizer(), tokens.roll(-1, 1)
    compiled = torch.compile(model, dynamic=False) if tokens.is_cuda else model

    def passes() -> Tensor:
        loss: Tensor = compiled(tokens, targets)
        torch.autograd.backward(loss / args.accumulate)
        return loss.detach()

    def step() -> float:
        losses = [passes() for _ in range(args.accumulate)]
        optimizer.step()
        model.zero_grad(set_to_none=True)
        return float(losses[-1])

    return {"nanochat_step": step, "nanochat": passes}, float(model.estimate_flops())


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--gpu", action="store_true")
    what.add_argument("--nanogpt", metavar="DIR")
    parser.add_argument("--nanochat", metavar="DIR")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--deterministic", action="store_true")
    small = {"layers": 6, "dim": 384, "heads": 6, "vocab": 50_304, "rows": 4, "seq": 512}
    large = {"layers": 20, "dim": 2048, "heads": 16, "vocab": 50_304, "rows": 8, "seq": 2048}
    for name in small:
        parser.add_argument(f"--{name}", type=int)
    for name, default in (("accumulate", 4), ("threads", 2), ("rounds", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    for name, default in (large if args.gpu else small).items():
        if getattr(args, name) is None:
            setattr(args, name, default)
    print(json.dumps(on_gpu(args) if args.gpu else on_cpu(args)))


if __name__ == "__main__":
    main()

"""Decoders whose every parameter is random: fresh ones hide mistakes behind zero biases, unit norms and tiny logits."""

import torch

from schemas.training import ModelSpec, RopeScaling
from trainer.model.decoder import Decoder

VOCAB = 89
SPECS = {
    "gpt2": ModelSpec(family="gpt2", layers=2, dim=32, heads=4, ffn_dim=80, context=96),
    "gpt2-untied": ModelSpec(family="gpt2", layers=1, dim=24, heads=3, context=96, tied=False, norm_eps=1e-3),
    "llama": ModelSpec(family="llama", layers=2, dim=32, heads=4, kv_heads=2, context=24, tied=False),
    "llama-tied": ModelSpec(family="llama", layers=2, dim=32, heads=4, context=24, rope_theta=5e5, ffn_dim=40),
    "llama3.1": ModelSpec(
        family="llama", layers=2, dim=64, heads=4, kv_heads=1, context=64, tied=False, rope_theta=5e2,
        rope_scaling=RopeScaling(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_context=32),
    ),
    "qwen2": ModelSpec(family="qwen2", layers=2, dim=32, heads=4, kv_heads=2, context=24, norm_eps=1e-6, tied=False),
    "qwen2-tied": ModelSpec(family="qwen2", layers=1, dim=32, heads=2, context=24, rope_theta=1e6),
}  # fmt: skip


def randomised(name: str, dtype: torch.dtype = torch.float64, seed: int = 0, vocab: int = VOCAB) -> Decoder:
    """A decoder of SPECS whose logits have a standard deviation over 1."""
    decoder = Decoder(SPECS[name], vocab).to(dtype)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter_name, parameter in decoder.named_parameters():
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.dim() == 1:
                drawn = 0.3 * drawn + (1 if parameter_name.endswith("norm.weight") else 0)
            else:
                drawn = drawn * (0.6 if "embedding" in parameter_name else parameter.shape[1] ** -0.5)
            if parameter_name.startswith("output"):
                drawn = drawn * 2
            parameter.copy_(drawn)
    return decoder


def tokens(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    """Random ids."""
    return torch.randint(0, VOCAB, (rows, length), generator=torch.Generator().manual_seed(seed))

"""Hugging Face's names and files for our weights, both ways: config.json, model.safetensors, generation_config.json.

Read are GPT-2, Llama (3.1's scaling of rotary frequencies too) and Qwen 2; whatever a configuration asks for beyond what
`Decoder` computes is refused by its key and value.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from schemas.training import ModelSpec, RopeScaling
from trainer.errors import IntegrityError, TrainerError
from trainer.model.decoder import Decoder
from trainer.tokenizer.tokenizer import Tokenizer

CONFIG, WEIGHTS, INDEX, GENERATION = (
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "generation_config.json",
)

_ROTARY_NAMES = {
    "embedding.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_ROTARY_BLOCK = {
    "attention_norm": "input_layernorm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn.gate": "mlp.gate_proj",
    "ffn.up": "mlp.up_proj",
    "ffn.down": "mlp.down_proj",
}
_GPT2_NAMES = {
    "embedding.weight": "transformer.wte.weight",
    "positions.weight": "transformer.wpe.weight",
    "norm.weight": "transformer.ln_f.weight",
    "norm.bias": "transformer.ln_f.bias",
    "output.weight": "lm_head.weight",
}
_GPT2_BLOCK = {
    "attention_norm": "ln_1",
    "attention.output": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn.up": "mlp.c_fc",
    "ffn.down": "mlp.c_proj",
}
_GPT2_JOINED = "attn.c_attn"
"""Queries, keys and values side by side; all its maps are stored [in, out]."""
_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)\.(weight|bias)")


def export(decoder: Decoder, tokenizer: Tokenizer, folder: Path) -> None:
    """Writes model and tokenizer, so that `AutoModelForCausalLM` and `AutoTokenizer` read them.

    Args:
      decoder: Its weights are written in float32.
      tokenizer: Its own.
      folder: Made where it is missing.

    Raises:
      TrainerError: The folder holds a model of another shape's shards, or the tokenizer would be read otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / INDEX).exists():
        raise TrainerError(f"{str(folder)!r} holds a model in shards ({INDEX}); export into another folder")
    tokenizer.save(folder, family=decoder.spec.family)
    tensors = {name: tensor.float().contiguous().cpu() for name, tensor in to_hf(decoder).items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    ids = {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id, "pad_token_id": tokenizer.pad_id}
    _write(folder / CONFIG, {**config(decoder.spec), **ids})
    _write(folder / GENERATION, {key: value for key, value in ids.items() if value is not None})


def to_hf(decoder: Decoder) -> dict[str, Tensor]:
    """Our weights under Hugging Face's names; a tied output is left out."""
    state = decoder.state_dict()
    if decoder.spec.family != "gpt2":
        return {_rotary(name): tensor for name, tensor in state.items()}
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        block = _BLOCK.fullmatch(name)
        if block is None:
            found[_GPT2_NAMES[name]] = tensor
        elif block[2] in _GPT2_BLOCK:
            is_map = tensor.dim() == 2
            found[f"transformer.h.{block[1]}.{_GPT2_BLOCK[block[2]]}.{block[3]}"] = tensor.T if is_map else tensor
    for layer in range(decoder.shape.layers):
        for kind in ("weight", "bias"):
            parts = [state[f"blocks.{layer}.attention.{part}.{kind}"] for part in ("query", "key", "value")]
            joined = torch.cat(parts)
            found[f"transformer.h.{layer}.{_GPT2_JOINED}.{kind}"] = joined.T if kind == "weight" else joined
    return found


def from_hf(spec: ModelSpec, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict for `Decoder` out of Hugging Face's tensors.

    Raises:
      TrainerError: A tensor is missing.
    """
    with torch.device("meta"):
        names = list(Decoder(spec, spec.vocab_size or 1).state_dict())
    try:
        if spec.family != "gpt2":
            return {name: tensors[_rotary(name)] for name in names}
        return {name: _gpt2(name, tensors) for name in names}
    except KeyError as error:
        raise TrainerError(f"the weights hold no {error.args[0]!r}, which a {spec.family} model has") from error


def _rotary(name: str) -> str:
    block = _BLOCK.fullmatch(name)
    return _ROTARY_NAMES[name] if block is None else f"model.layers.{block[1]}.{_ROTARY_BLOCK[block[2]]}.{block[3]}"


def _gpt2(name: str, tensors: Mapping[str, Tensor]) -> Tensor:
    block = _BLOCK.fullmatch(name)
    if block is None:
        full = _GPT2_NAMES[name]
        return tensors[full] if full in tensors else tensors[full.removeprefix("transformer.")]
    layer, part, kind = block[1], block[2], block[3]
    prefix = f"transformer.h.{layer}." if f"transformer.h.{layer}.ln_1.weight" in tensors else f"h.{layer}."
    if part in _GPT2_BLOCK:
        tensor = tensors[f"{prefix}{_GPT2_BLOCK[part]}.{kind}"]
        return tensor.T.contiguous() if tensor.dim() == 2 else tensor
    joined = tensors[f"{prefix}{_GPT2_JOINED}.{kind}"]
    place = ("attention.query", "attention.key", "attention.value").index(part)
    return (joined.T if kind == "weight" else joined).chunk(3)[place].contiguous()


def config(spec: ModelSpec) -> dict[str, Any]:
    """config.json of a spec."""
    assert spec.vocab_size is not None, spec
    both = {"vocab_size": spec.vocab_size, "tie_word_embeddings": spec.tied, "dtype": "float32", "use_cache": True}
    if spec.family == "gpt2":
        return {
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "n_layer": spec.layers,
            "n_embd": spec.dim,
            "n_head": spec.heads,
            "n_inner": spec.ffn_dim or 4 * spec.dim,
            "n_positions": spec.context,
            "layer_norm_epsilon": spec.norm_eps,
            "activation_function": "gelu_new",
            "attn_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "resid_pdrop": 0.0,
            **both,
        }
    ffn_dim = spec.ffn_dim or -(-8 * spec.dim // (3 * 256)) * 256
    found = {
        "architectures": ["LlamaForCausalLM" if spec.family == "llama" else "Qwen2ForCausalLM"],
        "model_type": spec.family,
        "num_hidden_layers": spec.layers,
        "hidden_size": spec.dim,
        "num_attention_heads": spec.heads,
        "num_key_value_heads": spec.kv_heads or spec.heads,
        "intermediate_size": ffn_dim,
        "max_position_embeddings": spec.context,
        "rms_norm_eps": spec.norm_eps,
        "rope_theta": spec.rope_theta,
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        **both,
    }
    if spec.family == "qwen2":
        found["use_sliding_window"] = False
    rope: dict[str, Any] = {"rope_type": "default"}
    if spec.rope_scaling:
        scaling = spec.rope_scaling
        rope = {
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_context,
        }
        found["rope_scaling"] = rope  # transformers 4
    found["rope_parameters"] = {**rope, "rope_theta": spec.rope_theta}  # transformers 5
    return found


def load(folder: Path) -> tuple[ModelSpec, int, dict[str, Tensor]]:
    """Reads a folder that Hugging Face's `save_pretrained`, or `export`, has written.

    Returns:
      Its shape, rows of the embedding, and a state dict for `Decoder`.

    Raises:
      TrainerError: It asks for what `Decoder` does not compute, or a file can't be read.
    """
    told = _read(folder / CONFIG)
    spec = spec_of(told, str(folder / CONFIG))
    tensors: dict[str, Tensor] = {}
    for path in _shards(folder):
        try:
            tensors |= load_file(path)
        except (OSError, SafetensorError) as error:
            raise IntegrityError(f"{str(path)!r} can't be read as safetensors: {error}") from error
    assert spec.vocab_size is not None
    return spec, spec.vocab_size, from_hf(spec, tensors)


def _shards(folder: Path) -> Iterator[Path]:
    if (folder / INDEX).exists():
        names = sorted(set(_read(folder / INDEX)["weight_map"].values()))
        for name in names:
            if Path(name).name != name:
                raise TrainerError(f"{str(folder / INDEX)!r} names {name!r}, which is no file of the folder itself")
            yield folder / name
    elif (folder / WEIGHTS).exists():
        yield folder / WEIGHTS
    else:
        raise TrainerError(f"{str(folder)!r} has neither {WEIGHTS} nor {INDEX}; save the model as safetensors")


def spec_of(told: Mapping[str, Any], where: str) -> ModelSpec:
    """A spec out of a config.json.

    Raises:
      TrainerError: What it asks for is not computed here; names key and value.
    """
    kind = told.get("model_type")
    if kind not in ("gpt2", "llama", "qwen2"):
        raise TrainerError(f"{where}: model_type {kind!r} is none of gpt2, llama, qwen2")
    _refuse(told, where, _GPT2_ONLY if kind == "gpt2" else _ROTARY_ONLY)
    tied = bool(told.get("tie_word_embeddings", kind == "gpt2"))
    if kind == "gpt2":
        return ModelSpec(
            family="gpt2",
            layers=told["n_layer"],
            dim=told["n_embd"],
            heads=told["n_head"],
            ffn_dim=told.get("n_inner"),
            context=told["n_positions"],
            vocab_size=told["vocab_size"],
            norm_eps=told.get("layer_norm_epsilon", 1e-5),
            tied=tied,
        )
    head_dim = told.get("head_dim")
    if head_dim is not None and head_dim * told["num_attention_heads"] != told["hidden_size"]:
        raise TrainerError(f"{where}: head_dim {head_dim!r} x heads is not hidden_size {told['hidden_size']!r}")
    rope = {**(told.get("rope_scaling") or {}), **(told.get("rope_parameters") or {})}
    return ModelSpec(
        family=kind,
        layers=told["num_hidden_layers"],
        dim=told["hidden_size"],
        heads=told["num_attention_heads"],
        kv_heads=told.get("num_key_value_heads"),
        ffn_dim=told["intermediate_size"],
        context=told["max_position_embeddings"],
        vocab_size=told["vocab_size"],
        rope_theta=rope.get("rope_theta", told.get("rope_theta", 10_000.0)),
        rope_scaling=_scaling(rope, where),
        norm_eps=told.get("rms_norm_eps", 1e-6),
        tied=tied,
    )


_GPT2_ONLY: dict[str, tuple[Any, ...]] = {
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
}
_ROTARY_ONLY: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "use_sliding_window": (False,),
    "pretraining_tp": (1,),
}
"""Key -> the values that are computed here, where the key stands at all."""


def _refuse(told: Mapping[str, Any], where: str, allowed: Mapping[str, tuple[Any, ...]]) -> None:
    for key, values in allowed.items():
        if key in told and told[key] not in values:
            raise TrainerError(f"{where}: {key} {told[key]!r} is not computed here, only {values[0]!r} is")


def _scaling(rope: Mapping[str, Any], where: str) -> RopeScaling | None:
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return None
    if kind != "llama3":
        raise TrainerError(f"{where}: rope_type {kind!r} is not computed here, only 'default' and 'llama3' are")
    return RopeScaling(
        factor=rope["factor"],
        low_freq_factor=rope["low_freq_factor"],
        high_freq_factor=rope["high_freq_factor"],
        original_context=rope["original_max_position_embeddings"],
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise TrainerError(f"{str(path)!r} can't be read: {error}") from error
    return found


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")

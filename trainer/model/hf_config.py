"""Hugging Face's config.json and our `ModelSpec`, both ways.

What a decoder can't be is refused by key and value: read over, it would be another model that answers all the same.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas.training import ModelSpec
from trainer.errors import IntegrityError, TrainerError
from trainer.model.shape import Shape

_ARCHITECTURES = {"gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}
_SIZES = {
    "gpt2": {
        "layers": "n_layer", "dim": "n_embd", "heads": "n_head", "ffn_dim": "n_inner", "context": "n_positions",
        "norm_eps": "layer_norm_epsilon",
    },
    "llama": {
        "layers": "num_hidden_layers", "dim": "hidden_size", "heads": "num_attention_heads",
        "kv_heads": "num_key_value_heads", "ffn_dim": "intermediate_size", "context": "max_position_embeddings",
        "norm_eps": "rms_norm_eps",
    },
}  # fmt: skip
_SIZES["qwen2"] = _SIZES["llama"]
"""Family -> our name of a size -> theirs."""

_ABSENT: dict[str, dict[str, Any]] = {
    "gpt2": {"n_inner": None, "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True},
    "llama": {"num_key_value_heads": None, "rms_norm_eps": 1e-6, "tie_word_embeddings": False},
    "qwen2": {"rms_norm_eps": 1e-6, "tie_word_embeddings": False},
}
"""What a key that isn't there stands for, where it may be missing."""

_ONLY: dict[str, dict[str, tuple[Any, ...]]] = {
    "gpt2": {
        "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "add_cross_attention": (False,),
    },
    "llama": {"hidden_act": ("silu",), "attention_bias": (False, True), "mlp_bias": (False,)},
    "qwen2": {"hidden_act": ("silu",)},
}
"""Keys and what a decoder may have there; absent, each of them means the first."""

_ROPE_KEYS = {
    "rope_type", "type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor",
    "original_max_position_embeddings", "partial_rotary_factor",
}  # fmt: skip


def written(spec: ModelSpec, shape: Shape, dtype: str, init_std: float, model_type: str) -> dict[str, Any]:
    """What config.json says of a decoder; `rope_theta` and `rope_scaling` in the form that every version reads.

    `model_type` is the family, or for a qwen2 decoder `llama`: biases of the attention are all that sets them apart.
    """
    ours = {
        "layers": shape.layers, "dim": shape.dim, "heads": shape.heads, "kv_heads": shape.kv_heads,
        "ffn_dim": shape.ffn_dim, "context": spec.context, "norm_eps": spec.norm_eps,
    }  # fmt: skip
    config: dict[str, Any] = {"architectures": [_ARCHITECTURES[model_type]], "model_type": model_type}
    config |= {theirs: ours[name] for name, theirs in _SIZES[model_type].items()}
    config |= {key: values[0] for key, values in _ONLY[model_type].items()}
    config |= {"vocab_size": shape.vocab_size, "tie_word_embeddings": shape.tied, "initializer_range": init_std}
    if shape.family.learned_positions:
        return config | {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "dtype": dtype}
    if model_type == "llama":
        config["attention_bias"] = shape.family.qkv_bias
    if model_type == "qwen2":
        config |= {"use_sliding_window": False, "sliding_window": None, "max_window_layers": shape.layers}
    scaling = spec.rope_scaling and {
        "rope_type": "llama3",
        "factor": spec.rope_scaling.factor,
        "low_freq_factor": spec.rope_scaling.low_freq_factor,
        "high_freq_factor": spec.rope_scaling.high_freq_factor,
        "original_max_position_embeddings": spec.rope_scaling.original_context,
    }
    return config | {"attention_dropout": 0.0, "rope_theta": spec.rope_theta, "rope_scaling": scaling, "dtype": dtype}


def read(path: Path) -> tuple[ModelSpec, int]:
    """The shape that a config.json describes, and rows of its embedding. Llama's with biases is a qwen2 decoder's.

    Raises:
      TrainerError: It describes what a decoder can't be.
      IntegrityError: There is none, it is no JSON, or a size is missing.
    """
    config = read_json(path)
    model_type = config.get("model_type")
    if model_type not in _SIZES:
        raise TrainerError(f"{str(path)!r}: model_type is {model_type!r}, a decoder is one of {sorted(_SIZES)}")
    for key, values in _ONLY[model_type].items():
        if key in config and config[key] not in values:
            raise _unfit(path, key, config[key], f"a {model_type} decoder has {values[0]!r}")
    if config.get("quantization_config"):
        raise _unfit(path, "quantization_config", config["quantization_config"], "weights are read unquantised")
    present = _ABSENT[model_type] | config
    wanted = (*_SIZES[model_type].values(), "vocab_size")
    if missing := [key for key in wanted if key not in present]:
        raise IntegrityError(f"{str(path)!r} says nothing of {missing}; fetch the model again")
    own: dict[str, Any] = {name: present[theirs] for name, theirs in _SIZES[model_type].items()}
    family = "qwen2" if model_type == "llama" and config.get("attention_bias") else model_type
    own |= {"family": family, "tied": present["tie_word_embeddings"], "vocab_size": present["vocab_size"]}
    if family != "gpt2":
        _refuse_other_attention(path, config)
        own |= _rotary(path, config)
    try:
        spec = ModelSpec.model_validate(own)
    except ValidationError as error:
        first = error.errors()[0]
        raise IntegrityError(
            f"{str(path)!r}: {'.'.join(map(str, first['loc'])) or 'sizes'}: {first['msg']}, not {first['input']!r}"
        ) from error
    assert spec.vocab_size is not None, spec
    return spec, spec.vocab_size


def read_json(path: Path) -> dict[str, Any]:
    """An object.

    Raises:
      IntegrityError: The file is missing, or no object in JSON.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise IntegrityError(f"{str(path)!r} can't be read: {error.strerror}; fetch the model again") from error
    except ValueError as error:
        raise IntegrityError(f"{str(path)!r} is no JSON: {error}; fetch the model again") from error
    if not isinstance(found, dict):
        raise IntegrityError(f"{str(path)!r} holds {type(found).__name__}, an object was expected")
    return found


def _refuse_other_attention(path: Path, config: dict[str, Any]) -> None:
    """Sliding windows in use, and heads whose sizes don't add up to the model's."""
    layers = config["num_hidden_layers"]
    kinds = config.get("layer_types") or []
    if other := sorted(set(kinds) - {"full_attention"}):
        raise _unfit(path, "layer_types", other, "every layer of a decoder sees all that came before")
    windowed = config["model_type"] == "qwen2" and not kinds and config.get("use_sliding_window")
    if windowed and config.get("sliding_window", 4096) is not None and config.get("max_window_layers", 28) < layers:
        raise _unfit(path, "use_sliding_window", True, "every layer of a decoder sees all that came before")
    head_dim = config["hidden_size"] // config["num_attention_heads"]
    if config.get("head_dim") not in (None, head_dim):
        raise _unfit(path, "head_dim", config["head_dim"], f"hidden_size over num_attention_heads is {head_dim}")


def _rotary(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Base and scaling, from the keys of transformers 4 or 5."""
    key = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"
    found = config.get(key) or {}
    if unknown := sorted(set(found) - _ROPE_KEYS):
        raise _unfit(path, f"{key}.{unknown[0]}", found[unknown[0]], "a decoder's rotary positions know no such key")
    partial = found.get("partial_rotary_factor", config.get("partial_rotary_factor"))
    if partial not in (None, 1):
        raise _unfit(path, "partial_rotary_factor", partial, "a decoder turns whole heads")
    kind = found.get("rope_type", found.get("type", "default"))
    rotary: dict[str, Any] = {"rope_theta": found.get("rope_theta") or config.get("rope_theta") or 10_000.0}
    if kind == "default":
        return rotary
    if kind != "llama3":
        raise _unfit(path, f"{key}.rope_type", kind, "a decoder's rotary positions are 'default' or 'llama3'")
    try:
        rotary["rope_scaling"] = {
            "factor": found["factor"],
            "low_freq_factor": found["low_freq_factor"],
            "high_freq_factor": found["high_freq_factor"],
            "original_context": found.get("original_max_position_embeddings") or config["max_position_embeddings"],
        }
    except KeyError as error:
        raise IntegrityError(f"{str(path)!r}: {key} of type 'llama3' lacks {error}; fetch the model again") from error
    return rotary


def _unfit(path: Path, key: str, value: Any, why: str) -> TrainerError:
    return TrainerError(f"{str(path)!r}: {key} is {value!r}, but {why}; this model can't be started from")

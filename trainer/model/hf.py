"""To Hugging Face's files and back: config.json, generation_config.json and safetensors, in one file or several.

Whose tensor is whose stands in one table.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from schemas.training import ModelSpec
from storage.commit import replace_atomic
from storage.stores import TEMPORARY
from trainer.errors import ForeignError, IntegrityError, TrainerError
from trainer.model import hf_config
from trainer.model.decoder import INIT_STD, Decoder
from trainer.tokenizer import qwen2
from trainer.tokenizer import tokenizer as tokens
from trainer.tokenizer.tokenizer import Tokenizer

CONFIG, GENERATION = "config.json", "generation_config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_PART = f".{WEIGHTS}.part"
_BUFFERS = (".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq")
"""Of older files, beside the weights: worked out, not learnt."""
_OUTPUT_BIAS = "model.layers.{}.self_attn.o_proj.bias"
"""What a Llama with biases has and a qwen2 decoder has not: 0 there."""

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

_BLOCKS = {"gpt2": "transformer.h", "llama": "model.layers", "qwen2": "model.layers"}
_OUTER = {
    "gpt2": {
        "embedding": "transformer.wte", "positions": "transformer.wpe", "norm": "transformer.ln_f", "output": "lm_head",
    },
    "llama": {"embedding": "model.embed_tokens", "norm": "model.norm", "output": "lm_head"},
}  # fmt: skip
_INNER = {
    "gpt2": {
        "attention_norm": "ln_1", "ffn_norm": "ln_2", "ffn.up": "mlp.c_fc", "ffn.down": "mlp.c_proj",
        "attention.query": "attn.c_attn", "attention.key": "attn.c_attn", "attention.value": "attn.c_attn",
        "attention.output": "attn.c_proj",
    },
    "llama": {
        "attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
        "attention.query": "self_attn.q_proj", "attention.key": "self_attn.k_proj",
        "attention.value": "self_attn.v_proj", "attention.output": "self_attn.o_proj",
        "ffn.gate": "mlp.gate_proj", "ffn.up": "mlp.up_proj", "ffn.down": "mlp.down_proj",
    },
}  # fmt: skip
_OUTER["qwen2"], _INNER["qwen2"] = _OUTER["llama"], _INNER["llama"]
"""Family -> our module outside and inside a block -> theirs. What names the same of theirs lies there in this order."""


def export(decoder: Decoder, tokenizer: Tokenizer | None, folder: Path) -> None:
    """Writes a folder that `AutoModelForCausalLM.from_pretrained` reads; weights keep the dtype that they have.

    A qwen2 decoder whose tokenizer would be read otherwise beside a config.json of Qwen 2 is written as the Llama with
    biases that it also is.

    Args:
      decoder: On any device.
      tokenizer: Its files go with it; None: none do, and no ids of special tokens.
      folder: Made where it is missing; a former export in it is replaced, config.json last.

    Raises:
      TrainerError: The folder can't be written.
      ForeignError: It holds anything but a former export.
    """
    _see_free(folder)
    known = (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) if tokenizer else (None, None, None)
    ids = dict(zip(("bos_token_id", "eos_token_id", "pad_token_id"), known, strict=True))
    held = decoder.state_dict()
    family = model_type = decoder.spec.family
    weights = {theirs: _joined(family, ours, held) for theirs, ours in _names(family, held).items()}
    if family == "qwen2" and tokenizer is not None and not qwen2.is_read_as_it_is(tokenizer.json):
        model_type, bias = "llama", decoder.norm.weight.detach()
        weights |= {_OUTPUT_BIAS.format(n): torch.zeros_like(bias) for n in range(decoder.shape.layers)}
    dtype = str(decoder.output_weight.dtype).removeprefix("torch.")
    config = hf_config.written(decoder.spec, decoder.shape, dtype, INIT_STD, model_type)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).unlink(missing_ok=True)  # killed halfway, it is no model, and not two models' halves
        _save(weights, folder)
        if tokenizer is not None:
            tokenizer.save(folder)
    except (OSError, SafetensorError) as error:
        raise TrainerError(
            f"no model can be written to {str(folder)!r}: {error}; make room, or give another"
        ) from error
    generation: dict[str, Any] = {key: value for key, value in ids.items() if value is not None}
    if tokenizer is not None and len(tokenizer.end_ids) > 1:
        generation["eos_token_id"] = list(tokenizer.end_ids)  # `generate` stops at any of them
    _write(folder / GENERATION, generation)
    _write(folder / CONFIG, config | ids)


def load(folder: Path) -> tuple[ModelSpec, int, dict[str, Tensor]]:
    """Reads a folder in Hugging Face's form.

    Returns:
      The shape, rows of the embedding, and the weights by our names: float32, or float64 where the files hold that.

    Raises:
      TrainerError: It holds what a decoder can't be.
      IntegrityError: A file is missing or damaged, or the tensors aren't those that config.json announces.
    """
    spec, vocab_size = hf_config.read(folder / CONFIG)
    with torch.device("meta"):
        expected = Decoder(spec, vocab_size).state_dict()
    found = {name: tensor for name, tensor in _read(folder) if not name.endswith(_BUFFERS)}
    if spec.family == "gpt2" and "wte.weight" in found:  # OpenAI's own files lack the outer name
        found = {f"transformer.{name}": tensor for name, tensor in found.items()}
    for n in range(spec.layers):
        if (bias := found.get(_OUTPUT_BIAS.format(n))) is not None and not bias.any():
            del found[_OUTPUT_BIAS.format(n)]
    head = found.pop("lm_head.weight", None) if spec.tied else None
    weights: dict[str, Tensor] = {}
    for theirs, ours in _names(spec.family, expected).items():
        if theirs not in found:
            raise IntegrityError(f"{str(folder)!r} holds no tensor {theirs!r}; fetch the model again")
        tensor, shape = found.pop(theirs), _joined(spec.family, ours, expected).shape
        if tensor.shape != shape:
            raise IntegrityError(
                f"{theirs!r} in {str(folder)!r} has the shape {tuple(tensor.shape)!r}, by {CONFIG} it is "
                f"{tuple(shape)!r}; fetch the model again"
            )
        weights |= _parted(spec.family, ours, tensor)
    if found:
        raise TrainerError(f"{str(folder)!r} holds {sorted(found)!r}, for which a {spec.family} decoder has no place")
    if head is not None and not torch.equal(head.to(weights["embedding.weight"].dtype), weights["embedding.weight"]):
        raise TrainerError(
            f"{str(folder)!r} ties the output to the embedding (tie_word_embeddings), but its lm_head.weight is another"
        )
    return spec, vocab_size, weights


def ends(folder: Path) -> list[int]:
    """The ids that generation_config.json and config.json name as what ends a text; one or several each, or none.

    Raises:
      IntegrityError: A file is damaged, or names what is no id.
    """
    found: list[int] = []
    for path in (folder / GENERATION, folder / CONFIG):
        named = hf_config.read_json(path).get("eos_token_id") if path.is_file() else None
        ids = named if isinstance(named, list) else [] if named is None else [named]
        if not all(type(number) is int for number in ids):
            raise IntegrityError(f"{str(path)!r}: eos_token_id is {named!r}, no id and no list; fetch the model again")
        found += ids
    return found


def _see_free(folder: Path) -> None:
    """Nothing that an export has not written is in the folder; a tokenizer without a model is none's."""
    model = {CONFIG, GENERATION, WEIGHTS, _PART}
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    found = {name for name in found if not name.startswith(TEMPORARY)}  # of an export that was killed
    if other := sorted(found - model - ({tokens.TOKENIZER, tokens.CONFIG} if found & model else set())):
        raise ForeignError(f"{str(folder)!r} holds {other[0]!r}, which no export wrote there; give another --output")


def _save(weights: dict[str, Tensor], folder: Path) -> None:
    """The file of weights, whole or not at all."""
    unfinished = folder / _PART
    try:
        save_file(weights, unfinished, metadata={"format": "pt"})
        unfinished.replace(folder / WEIGHTS)
    finally:
        unfinished.unlink(missing_ok=True)


def _names(family: str, ours: Iterable[str]) -> dict[str, list[str]]:
    """Their name of a tensor -> ours that it holds, one below the other."""
    outer, inner, blocks = _OUTER[family], _INNER[family], _BLOCKS[family]
    found: dict[str, list[str]] = {}
    for name in ours:
        module, _, kind = name.rpartition(".")
        if module.startswith("blocks."):
            _, number, part = module.split(".", 2)
            theirs = f"{blocks}.{number}.{inner[part]}.{kind}"
        else:
            theirs = f"{outer[module]}.{kind}"
        found.setdefault(theirs, []).append(name)
    return found


def _transposed(family: str, ours: str) -> bool:
    """GPT-2's maps within blocks are [inputs, outputs], where ours are [outputs, inputs]."""
    return family == "gpt2" and ours.endswith(".weight") and (".attention." in ours or ".ffn." in ours)


def _joined(family: str, names: list[str], weights: Mapping[str, Tensor]) -> Tensor:
    """One of their tensors out of ours."""
    parts = [weights[name].detach() for name in names]
    whole = torch.cat(parts) if len(parts) > 1 else parts[0]
    return whole.T.contiguous() if _transposed(family, names[0]) else whole


def _parted(family: str, names: list[str], whole: Tensor) -> dict[str, Tensor]:
    """Ours out of one of theirs, each in memory of its own."""
    wide = whole.to(torch.promote_types(whole.dtype, torch.float32))
    parts = (wide.T if _transposed(family, names[0]) else wide).chunk(len(names))
    return {name: part.clone(memory_format=torch.contiguous_format) for name, part in zip(names, parts, strict=True)}


def _read(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the folder's files."""
    for file in _files(folder):
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 (no mapping)
                    tensor = opened.get_tensor(name)
                    if tensor.dtype not in _DTYPES:
                        raise TrainerError(f"{name!r} in {str(file)!r} is of {tensor.dtype}; give unquantised weights")
                    yield name, tensor
        except (OSError, SafetensorError) as error:
            raise IntegrityError(f"{str(file)!r} can't be read: {error}; fetch the model again") from error


def _files(folder: Path) -> list[Path]:
    """The one file, or those that the index names."""
    if (folder / WEIGHTS).is_file():  # which transformers, too, takes before an index
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        if pickled := sorted(folder.glob("*.bin")):
            raise TrainerError(
                f"{str(folder)!r} holds weights as {pickled[0].name!r}, which could run any code when it is opened; "
                "save the model as safetensors first"
            )
        return [folder / WEIGHTS]
    named = hf_config.read_json(folder / INDEX).get("weight_map")
    files = set(named.values()) if isinstance(named, dict) else set()
    if not files or not all(isinstance(file, str) and Path(file).name == file for file in files):
        raise IntegrityError(f"{str(folder / INDEX)!r} names no files beside it: weight_map is {str(named)[:200]!r}")
    return [folder / file for file in sorted(files)]


def _write(path: Path, content: dict[str, Any]) -> None:
    replace_atomic(str(path), (json.dumps(content, indent=2) + "\n").encode())

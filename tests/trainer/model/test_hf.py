"""Held to transformers: logits, gradients, files both ways, and what is refused."""

import json
import shutil
import types
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.models.gpt2 import modeling_gpt2
from transformers.models.llama import modeling_llama
from transformers.models.qwen2 import modeling_qwen2

from schemas.training import ModelSpec, RopeScaling, TokenizerSpec
from storage.stores import TEMPORARY
from tests.trainer.model.randomised import SPECS, VOCAB, randomised, tokens
from tests.trainer.tokenizer.lookalikes import MAKERS, NAMES, TRICKY, load
from trainer.errors import ForeignError, IntegrityError, TrainerError
from trainer.model import hf
from trainer.model.cross_entropy import cross_entropy
from trainer.model.decoder import Decoder
from trainer.tokenizer import bpe
from trainer.tokenizer.tokenizer import Tokenizer
from trainer.trained import open_trained

LENGTH = 96
"""Past every window of SPECS: contexts of 24, an original context of 32."""


def norm_in_own_dtype(self: Any, x: Tensor) -> Tensor:
    """RMSNorm, nothing turned into float32."""
    return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))


def rope_of(config: Any) -> dict[str, Any]:
    """Base and scaling, which transformers 5 keeps together and 4 apart."""
    if hasattr(config, "rope_parameters"):
        return dict(config.rope_parameters)
    return {"rope_theta": config.rope_theta, "rope_type": "default", **(config.rope_scaling or {})}


def rotary_in_float64(self: Any, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines, frequencies by transformers' own formula from float64."""
    config, parameters = self.config, rope_of(self.config)
    dim = config.hidden_size // config.num_attention_heads
    inverse = 1.0 / (parameters["rope_theta"] ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim))
    if parameters["rope_type"] == "llama3":
        old, factor = parameters["original_max_position_embeddings"], parameters["factor"]
        low, high = parameters["low_freq_factor"], parameters["high_freq_factor"]
        lengths = 2 * torch.pi / inverse
        scaled = torch.where(lengths > old / low, inverse / factor, inverse)
        smooth = (old / lengths - low) / (high - low)
        between = ~(lengths < old / high) & ~(lengths > old / low)
        inverse = torch.where(between, (1 - smooth) * scaled / factor + smooth * scaled, scaled)
    angles = position_ids[..., None].double() * inverse
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


def softmax_in_own_dtype(scores: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """Without the turn into float32 that the attentions ask for."""
    return torch.softmax(scores, dim)


@pytest.fixture
def lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers' float32 islands (norms, rotary positions, softmax) work in float64."""
    for module, family in ((modeling_llama, "Llama"), (modeling_qwen2, "Qwen2")):
        monkeypatch.setattr(getattr(module, f"{family}RMSNorm"), "forward", norm_in_own_dtype)
        monkeypatch.setattr(getattr(module, f"{family}RotaryEmbedding"), "forward", rotary_in_float64)
    functional = types.SimpleNamespace(**{**vars(torch.nn.functional), "softmax": softmax_in_own_dtype})
    nn = types.SimpleNamespace(**{**vars(torch.nn), "functional": functional})
    for module in (modeling_llama, modeling_qwen2, modeling_gpt2):
        monkeypatch.setattr(module, "nn", nn)


def opened(folder: Path, dtype: torch.dtype) -> Any:
    """By transformers, which may warn of nothing and miss nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, told = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation="eager", output_loading_info=True
        )
    assert {key: value for key, value in told.items() if value} == {}
    return model.eval()


@pytest.mark.parametrize("name", SPECS)
def test_float64_logits_and_gradients_are_those_of_transformers(name: str, tmp_path: Path, lifted: None) -> None:
    ours = randomised(name)
    hf.export(ours, None, tmp_path)
    theirs = opened(tmp_path, torch.float64)
    ids, weights = tokens(2, LENGTH), torch.rand(2, LENGTH, dtype=torch.float64)
    hidden = ours(ids)
    logits, expected = ours.logits(hidden), theirs(ids).logits
    assert logits.dtype == expected.dtype == torch.float64
    assert logits.std() >= 1
    largest = expected.abs().max()
    assert (logits - expected).abs().max() <= 1e-10 * largest

    total, _ = cross_entropy(hidden, ours.output_weight, ids.flip(1), weights)
    total.backward()
    losses = torch.nn.functional.cross_entropy(expected.flatten(0, 1), ids.flip(1).flatten(), reduction="none")
    (losses * weights.flatten()).sum().backward()
    gradients = {parameter: weight.grad for parameter, weight in ours.named_parameters()}
    found = hf_gradients(ours, theirs)
    assert gradients.keys() == found.keys()
    largest = max(gradient.abs().max() for gradient in found.values())
    for parameter, gradient in gradients.items():
        assert gradient is not None
        # that of GPT-2's key biases is 0 but for rounding: a constant added to all scores changes no softmax
        assert (gradient - found[parameter]).abs().max() <= 1e-10 * largest, parameter


def hf_gradients(ours: Decoder, theirs: Any) -> dict[str, Tensor]:
    """Of transformers' parameters, under our names."""
    held = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    found: dict[str, Tensor] = {}
    for name, parts in hf._names(ours.spec.family, ours.state_dict()).items():
        found |= hf._parted(ours.spec.family, parts, held[name])
    return found


@pytest.mark.parametrize("name", SPECS)
def test_float32_logits_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    ours = randomised(name, torch.float32)
    hf.export(ours, None, tmp_path)
    theirs = opened(tmp_path, torch.float32)
    ids = tokens(2, LENGTH)
    with torch.no_grad():
        logits, expected = ours.logits(ours(ids)), theirs(ids).logits
    assert logits.std() >= 1
    assert (logits - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("name", SPECS)
def test_what_is_exported_is_read_back(name: str, tmp_path: Path) -> None:
    ours = randomised(name)
    hf.export(ours, None, tmp_path)
    spec, vocab_size, weights = hf.load(tmp_path)
    shape = ours.shape
    assert spec == ours.spec.model_copy(
        update={"kv_heads": None if name.startswith("gpt2") else shape.kv_heads, "ffn_dim": shape.ffn_dim}
    )
    assert vocab_size == VOCAB
    assert weights.keys() == ours.state_dict().keys()
    for key, weight in ours.state_dict().items():
        assert torch.equal(weights[key], weight), key
    with torch.device("meta"):
        again = Decoder(spec, vocab_size)
    again.load_state_dict(weights, assign=True)
    assert torch.equal(again(tokens(1, 20)), ours(tokens(1, 20)))


def hugging_face(name: str, **changes: Any) -> Any:
    """A model that transformers itself makes."""
    torch.manual_seed(0)
    common = {"vocab_size": 70, "bos_token_id": 1, "eos_token_id": 2}
    if name == "gpt2":
        config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, **common, **changes)
    else:
        kind = transformers.LlamaConfig if name == "llama" else transformers.Qwen2Config
        sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
        config = kind(**sizes, num_key_value_heads=2, max_position_embeddings=64, **common, **changes)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()


LLAMA3 = {
    "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gpt2", {}),
        ("gpt2", {"tie_word_embeddings": False, "n_inner": 40}),
        ("llama", {}),
        ("llama", {"tie_word_embeddings": True, "rope_theta": 5e5, "rope_scaling": LLAMA3}),
        ("qwen2", {"rope_theta": 1e6}),
        ("qwen2", {"use_sliding_window": True, "max_window_layers": 2}),
    ],
)
@pytest.mark.parametrize("shards", ["whole", "sharded"])
def test_models_of_transformers_are_read(name: str, changes: dict[str, Any], shards: str, tmp_path: Path) -> None:
    theirs = hugging_face(name, **changes)
    theirs.save_pretrained(tmp_path, max_shard_size="20KB" if shards == "sharded" else "1GB")
    assert (tmp_path / hf.INDEX).exists() == (shards == "sharded")
    spec, vocab_size, weights = hf.load(tmp_path)
    ours = Decoder(spec, vocab_size)
    ours.load_state_dict(weights)
    ids = torch.randint(0, 70, (2, 50))
    with torch.no_grad():
        expected = theirs(ids).logits
        assert (ours.logits(ours(ids)) - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_the_keys_of_transformers_4_are_read(tmp_path: Path) -> None:
    hugging_face("llama").save_pretrained(tmp_path)
    config = json.loads((tmp_path / hf.CONFIG).read_text())
    config.pop("rope_parameters", None)
    (tmp_path / hf.CONFIG).write_text(json.dumps(config | {"rope_theta": 5e5, "rope_scaling": LLAMA3}))
    spec, _, _ = hf.load(tmp_path)
    assert (spec.rope_theta, spec.rope_scaling) == (5e5, RopeScaling(factor=4.0, original_context=16))


def test_the_files_of_openai_are_read(tmp_path: Path) -> None:
    """Their tensors lack the outer name and hold masks beside the weights."""
    ours = randomised("gpt2", torch.float32)
    hf.export(ours, None, tmp_path)
    held = load_file(tmp_path / hf.WEIGHTS)
    bare = {name.removeprefix("transformer."): tensor for name, tensor in held.items()}
    masks = {f"h.{n}.attn.bias": torch.ones(1, 1, 4, 4) for n in range(2)}
    save_file(bare | masks, tmp_path / hf.WEIGHTS)
    _, _, weights = hf.load(tmp_path)
    assert all(torch.equal(weights[name], weight) for name, weight in ours.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_as_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    ours = randomised("qwen2", dtype)
    hf.export(ours, None, tmp_path)
    _, _, weights = hf.load(tmp_path)
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert torch.equal(weights["norm.weight"].to(dtype), ours.norm.weight)


def test_the_tokenizer_goes_with_it(tmp_path: Path) -> None:
    texts = ["Pages go in, flour comes out.", "밀은 방앗간으로 간다."] * 10
    tokenizer = Tokenizer.from_json(bpe.train(texts, TokenizerSpec(vocab_size=300)))
    decoder = Decoder(SPECS["llama"], 320)
    folder = tmp_path / "new" / "folder"
    hf.export(decoder, tokenizer, folder)
    model = opened(folder, torch.float32)
    ends = [tokenizer.eos_id, tokenizer.special["<|im_end|>"]]
    for config, eos in ((model.config, tokenizer.eos_id), (model.generation_config, ends)):
        assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (None, eos, tokenizer.pad_id)
    assert transformers.AutoTokenizer.from_pretrained(folder)(texts[0])["input_ids"] == tokenizer.encode(texts[0])
    assert {path.name for path in folder.iterdir()} == {
        hf.CONFIG, hf.WEIGHTS, hf.GENERATION, "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip


def saying(number: int, vocab_size: int) -> Decoder:
    """A model that follows anything with one id: its last norm gives the same hidden state everywhere."""
    decoder = Decoder(ModelSpec(family="gpt2", layers=1, dim=8, heads=2, context=32, tied=False), vocab_size)
    with torch.no_grad():
        decoder.norm.weight.zero_()
        decoder.norm.bias.fill_(1.0)
        decoder.output_weight.zero_()
        decoder.output_weight[number] = 1.0
    return decoder


@pytest.mark.parametrize(
    ("name", "turn_end"),
    [("ours", "<|im_end|>"), ("qwen2", "<|im_end|>"), ("llama3", "<|eot_id|>"), ("gemma", "<end_of_turn>")],
)
def test_transformers_stops_at_the_end_of_a_turn(name: str, turn_end: str, tmp_path: Path) -> None:
    names = {"eos_token": eos} if (eos := NAMES[name].get("eos_token")) else {}
    template = f"{{% for message in messages %}}{{{{ message.content }}}}{turn_end}\n{{% endfor %}}"
    tokenizer = Tokenizer(MAKERS[name](), names, template)
    for end in (tokenizer.special[turn_end], tokenizer.eos_id):
        hf.export(saying(end, tokenizer.largest_id + 1), tokenizer, tmp_path)
        model = opened(tmp_path, torch.float32)
        assert model.generation_config.eos_token_id == [tokenizer.eos_id, tokenizer.special[turn_end]]
        prompt = tokenizer.encode("The cat")
        said = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), max_new_tokens=5)
        assert said[0].tolist() == [*prompt, end]
    again = open_trained(tmp_path)
    assert (again.tokenizer.eos_id, again.tokenizer.end_ids) == (tokenizer.eos_id, tokenizer.end_ids)


@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
@pytest.mark.parametrize("several", [False, True])
def test_what_a_model_that_is_brought_names_as_its_end_ends_answers(tmp_path: Path, file: str, several: bool) -> None:
    tokenizer = Tokenizer(MAKERS["llama3"](), {"eos_token": "<|end_of_text|>"})
    end = tokenizer.special["<|eot_id|>"]
    hf.export(saying(end, tokenizer.largest_id + 1), tokenizer, tmp_path / "brought")
    assert open_trained(tmp_path / "brought").tokenizer.end_ids == (tokenizer.eos_id,)
    told = json.loads((tmp_path / "brought" / file).read_text())
    named = [end, tokenizer.encode_text("a")[0]] if several else end
    (tmp_path / "brought" / file).write_text(json.dumps(told | {"eos_token_id": named}))
    trained = open_trained(tmp_path / "brought")
    assert trained.tokenizer.end_ids == (tokenizer.eos_id, end)

    hf.export(trained.decoder, trained.tokenizer, tmp_path / "again")
    assert opened(tmp_path / "again", torch.float32).generation_config.eos_token_id == [tokenizer.eos_id, end]
    assert open_trained(tmp_path / "again").tokenizer.end_ids == (tokenizer.eos_id, end)


@pytest.mark.parametrize("named", ["</s>", [1, "</s>"], True, {"id": 1}])
def test_an_end_that_is_no_id_is_an_error(tmp_path: Path, named: Any) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": named}))
    with pytest.raises(IntegrityError, match=r"generation_config.json': eos_token_id is .*, no id and no list"):
        hf.ends(tmp_path)


@pytest.mark.parametrize(
    ("kind", "model_type"), [("ours", "qwen2"), ("qwen2", "qwen2"), ("llama3", "llama"), ("gemma", "llama")]
)
def test_a_qwen2_model_goes_with_any_tokenizer(kind: str, model_type: str, tmp_path: Path) -> None:
    """Where transformers would put Qwen 2's cuts in place of the tokenizer's own, the model is a Llama with biases."""
    tokenizer = load(tmp_path / "given", kind)
    ours = randomised("qwen2", torch.float32, vocab=tokenizer.largest_id + 1)
    hf.export(ours, tokenizer, tmp_path / "hf")
    theirs, reads = opened(tmp_path / "hf", torch.float32), transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert theirs.config.model_type == model_type
    texts = [*TRICKY, *tokenizer.special, "12345", "<|endoftext|>"]
    assert [reads(text)["input_ids"] for text in texts] == [tokenizer.encode(text) for text in texts]
    ids = torch.tensor([tokenizer.encode("".join(TRICKY[:8]))[:LENGTH]])
    with torch.no_grad():
        logits, expected = ours.logits(ours(ids)), theirs(ids).logits
    assert (logits - expected).abs().max() <= 1e-4 * expected.abs().max()

    again = open_trained(tmp_path / "hf")
    assert (again.decoder.spec.family, again.tokenizer.sha256) == ("qwen2", tokenizer.sha256)
    assert all(torch.equal(tensor, ours.state_dict()[name]) for name, tensor in again.decoder.state_dict().items())


def test_a_llama_with_a_bias_behind_its_attention_is_no_decoder(tmp_path: Path) -> None:
    hugging_face("llama", attention_bias=True).save_pretrained(tmp_path)
    with pytest.raises(TrainerError, match=r"o_proj\.bias'\], for which a qwen2 decoder has no place"):
        hf.load(tmp_path)


def test_a_tokenizer_without_turns_gives_a_single_end(tmp_path: Path) -> None:
    bare = MAKERS["llama3"]().replace(b"<|eot_id|>", b"<|other|>")
    tokenizer = Tokenizer(bare, {"eos_token": "<|end_of_text|>"})
    hf.export(saying(5, tokenizer.largest_id + 1), tokenizer, tmp_path)
    assert opened(tmp_path, torch.float32).generation_config.eos_token_id == tokenizer.eos_id
    assert tokenizer.end_ids == (tokenizer.eos_id,)


def test_a_lengthened_model_is_exported_as_it_is(tmp_path: Path) -> None:
    ours = randomised("qwen2-tied")
    before = ours(tokens(1, 40))
    ours.set_context(192, 8e6, None)
    hf.export(ours, None, tmp_path)
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    assert (config.max_position_embeddings, rope_of(config)["rope_theta"]) == (192, 8e6)
    assert not torch.equal(ours(tokens(1, 40)), before)


SLIDING = {"layer_types": None, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("qwen2", SLIDING, "use_sliding_window is True"),
        ("llama", {"model_type": "mamba"}, "model_type is 'mamba'"),
        ("llama", {"mlp_bias": True}, "mlp_bias is True"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ("llama", {"head_dim": 16}, "head_dim is 16"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantization_config is {'bits': 4}"),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rope_parameters.rope_type is 'yarn'"),
        ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling.rope_type is 'linear'"),
        ("llama", {"rope_parameters": {"rope_type": "default", "mrope_section": [1]}}, "rope_parameters.mrope_section"),
        ("llama", {"rope_parameters": {"full_attention": {"rope_type": "default"}}}, "rope_parameters.full_attention"),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        (
            "qwen2",
            {"layer_types": None, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
            "use_sliding_window is True",
        ),
        ("qwen2", {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types is ['sliding_attention']"),
        ("gpt2", {"activation_function": "relu"}, "activation_function is 'relu'"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights is False"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention is True"),
    ],
)
def test_what_a_decoder_cannot_be_is_refused_by_key_and_value(
    name: str, changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    hugging_face(name).save_pretrained(tmp_path)
    config = json.loads((tmp_path / hf.CONFIG).read_text())
    (tmp_path / hf.CONFIG).write_text(json.dumps(config | changes))
    with pytest.raises(TrainerError) as caught:
        hf.load(tmp_path)
    assert told in str(caught.value)
    assert hf.CONFIG in str(caught.value)


def broken(folder: Path, kind: str) -> None:
    """Damages an exported folder."""
    config, weights = folder / hf.CONFIG, folder / hf.WEIGHTS
    read = json.loads(config.read_text())
    held = load_file(weights)
    if kind == "no config":
        config.unlink()
    elif kind == "no JSON":
        config.write_text("{")
    elif kind == "a list":
        config.write_text("[]")
    elif kind == "no size":
        config.write_text(json.dumps({key: value for key, value in read.items() if key != "vocab_size"}))
    elif kind == "a wrong size":
        config.write_text(json.dumps(read | {"num_hidden_layers": "two"}))
    elif kind == "no factor":
        config.write_text(json.dumps(read | {"rope_scaling": {"rope_type": "llama3"}}))
    elif kind == "a wrong factor":
        config.write_text(json.dumps(read | {"rope_scaling": {**LLAMA3, "factor": 0}}))
    elif kind == "no weights":
        weights.unlink()
    elif kind == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif kind == "a tensor less":
        save_file({name: tensor for name, tensor in held.items() if name != "model.norm.weight"}, weights)
    elif kind == "another shape":
        save_file(held | {"model.norm.weight": torch.ones(5)}, weights)
    elif kind == "a path":
        weights.unlink()
        (folder / hf.INDEX).write_text(json.dumps({"weight_map": {"model.norm.weight": "../model.safetensors"}}))
    elif kind == "no map":
        weights.unlink()
        (folder / hf.INDEX).write_text("{}")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("no config", "can't be read"),
        ("no JSON", "is no JSON"),
        ("a list", "holds list"),
        ("no size", "says nothing of ['vocab_size']"),
        ("a wrong size", "layers"),
        ("no factor", "lacks 'factor'"),
        ("a wrong factor", "rope_scaling.factor: Input should be greater than 0, not 0"),
        ("no weights", "model.safetensors"),
        ("cut", "can't be read"),
        ("a tensor less", "no tensor 'model.norm.weight'"),
        ("another shape", "'model.norm.weight'"),
        ("a path", "names no files beside it"),
        ("no map", "names no files beside it"),
    ],
)
def test_damaged_folders_are_told_apart(kind: str, told: str, tmp_path: Path) -> None:
    hf.export(randomised("llama", torch.float32), None, tmp_path)
    broken(tmp_path, kind)
    with pytest.raises(IntegrityError) as caught:
        hf.load(tmp_path)
    assert told in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_tensors_without_a_place_pickles_and_other_heads_are_refused(tmp_path: Path) -> None:
    hf.export(randomised("llama", torch.float32), None, tmp_path)
    held = load_file(tmp_path / hf.WEIGHTS)
    save_file(held | {"model.extra": torch.ones(2)}, tmp_path / hf.WEIGHTS)
    with pytest.raises(TrainerError, match=r"'model\.extra'"):
        hf.load(tmp_path)
    save_file(held | {"model.norm.weight": torch.ones(32, dtype=torch.int8)}, tmp_path / hf.WEIGHTS)
    with pytest.raises(TrainerError, match=r"torch\.int8"):
        hf.load(tmp_path)
    (tmp_path / hf.WEIGHTS).unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(TrainerError, match="safetensors first"):
        hf.load(tmp_path)

    tied = tmp_path / "tied"
    hf.export(randomised("llama-tied", torch.float32), None, tied)
    held = load_file(tied / hf.WEIGHTS)
    save_file(held | {"lm_head.weight": held["model.embed_tokens.weight"].clone()}, tied / hf.WEIGHTS)
    hf.load(tied)
    save_file(held | {"lm_head.weight": torch.zeros(VOCAB, 32)}, tied / hf.WEIGHTS)
    with pytest.raises(TrainerError, match="lm_head"):
        hf.load(tied)


def test_a_former_export_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    folder, tokenizer = tmp_path / "hf", load(tmp_path / "given", "ours")
    for name in ("gpt2", "qwen2"):
        folder.mkdir(exist_ok=True)
        for left in (f".{hf.WEIGHTS}.part", f"{TEMPORARY}0a1b-77"):  # by an export that was killed
            (folder / left).write_bytes(b"half")
        hf.export(randomised(name, torch.float32, vocab=tokenizer.largest_id + 1), tokenizer, folder)
        assert open_trained(folder).decoder.spec.family == name
    for other in ("README.md", "checkpoints"):
        taken = tmp_path / other
        shutil.copytree(folder, taken)
        (taken / other).mkdir()
        before = {path.name: path.stat().st_mtime_ns for path in taken.iterdir()}
        with pytest.raises(ForeignError, match=f"holds '{other}', which no export wrote there; give another --output"):
            hf.export(randomised("llama"), None, taken)
        assert {path.name: path.stat().st_mtime_ns for path in taken.iterdir()} == before


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainerError, match="no model can be written"):
        hf.export(randomised("llama"), None, tmp_path / "file")


def test_families_without_grouped_keys_or_rotation_say_so() -> None:
    with pytest.raises(TrainerError, match="kv_heads 2"):
        Decoder(ModelSpec(family="gpt2", layers=1, dim=8, heads=4, kv_heads=2, context=8), 9)
    with pytest.raises(TrainerError, match="rope_scaling"):
        Decoder(ModelSpec(family="gpt2", layers=1, dim=8, heads=4, context=8, rope_scaling=RopeScaling()), 9)
    with pytest.raises(TrainerError, match="odd 3"):
        Decoder(ModelSpec(family="llama", layers=1, dim=12, heads=4, context=8), 9)

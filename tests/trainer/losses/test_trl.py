"""The same numbers as TRL's trainers make of the same model and texts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from schemas.training import LossSpec
from trainer.batch import Batch
from trainer.losses.dpo import dpo
from trainer.losses.next_token import next_token

trl = pytest.importorskip("trl", reason="TRL is not installed; it is in the extra `dev`")
transformers = pytest.importorskip("transformers")
datasets = pytest.importorskip("datasets")

pytestmark = pytest.mark.filterwarnings("ignore")  # TRL's and accelerate's own


class AsDecoder(nn.Module):
    """A Hugging Face GPT-2 with the decoder's face."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    @property
    def output_weight(self) -> Tensor:
        return self.model.lm_head.weight

    def forward(self, tokens: Tensor, *, positions: Tensor, documents: Tensor | None) -> Tensor:
        assert documents is None
        return self.model.transformer(tokens, position_ids=positions).last_hidden_state


def gpt2(seed: int) -> Any:
    torch.manual_seed(seed)
    config = transformers.GPT2Config(
        vocab_size=300, n_positions=64, n_embd=16, n_layer=2, n_head=2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def byte_tokenizer() -> Any:
    """Byte-level, `<eos>` is 0 and `<pad>` 1."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<eos>": 0, "<pad>": 1, **{letter: n + 2 for n, letter in enumerate(alphabet)}}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>", pad_token="<pad>")


def as_batch(ids: Tensor, mask: Tensor, attention: Tensor) -> Batch:
    """TRL's rows as ours: a document each, padded at the end."""
    weights = mask[:, 1:].float()
    inside = attention[:, :-1].bool() & attention[:, 1:].bool()
    documents = torch.where(inside, 0, -1).int()
    positions = torch.arange(ids.shape[1] - 1).expand_as(weights)
    return Batch(ids[:, :-1], ids[:, 1:] * mask[:, 1:], weights, documents, positions, 1)


TEXTS = [
    {"prompt": "What is 2 + 2?", "chosen": " It is 4.", "rejected": " Five, I think."},
    {"prompt": "And 3?", "chosen": " 3 is 3, always.", "rejected": " No."},
]


@pytest.mark.parametrize(("pairs", "nll"), [(2, 0.0), (1, 0.2)])
def test_dpo(tmp_path: Path, pairs: int, nll: float) -> None:
    """TRL's likelihood term is a mean over the batch's tokens, so it is compared on one pair."""
    config = trl.DPOConfig(
        output_dir=str(tmp_path), per_device_train_batch_size=pairs, beta=0.3, max_length=64, report_to=[],
        use_cpu=True, loss_type=["sigmoid", "sft"] if nll else ["sigmoid"], loss_weights=[1.0, nll] if nll else [1.0],
        bf16=False, gradient_checkpointing=False,
    )  # fmt: skip
    policy, reference = gpt2(1), gpt2(2)
    trainer = trl.DPOTrainer(
        model=policy, ref_model=reference, args=config, processing_class=byte_tokenizer(),
        train_dataset=datasets.Dataset.from_list(TEXTS[:pairs]),
    )  # fmt: skip
    inputs = next(iter(trainer.get_train_dataloader()))
    theirs = trainer.compute_loss(trainer.model, dict(inputs))
    # TRL puts all chosen first, then all rejected; ours lie side by side
    order = [row for pair in range(pairs) for row in (pair, pair + pairs)]
    rows = [inputs[key][order] for key in ("input_ids", "completion_mask", "attention_mask")]
    spec = LossSpec(name="dpo", beta=0.3, nll=nll)
    total, count = dpo(AsDecoder(policy), AsDecoder(reference), as_batch(*rows), spec)  # type: ignore[arg-type]
    assert count.item() == pairs
    assert (total / count).item() == pytest.approx(theirs.item(), abs=1e-5)
    assert theirs.item() != pytest.approx(0.6931, abs=1e-2)


def test_supervised(tmp_path: Path) -> None:
    config = trl.SFTConfig(
        output_dir=str(tmp_path), per_device_train_batch_size=2, max_length=64, report_to=[], use_cpu=True,
        completion_only_loss=True, bf16=False, gradient_checkpointing=False,
    )  # fmt: skip
    model = gpt2(1)
    texts = [{"prompt": text["prompt"], "completion": text["chosen"]} for text in TEXTS]
    trainer = trl.SFTTrainer(
        model=model, args=config, processing_class=byte_tokenizer(), train_dataset=datasets.Dataset.from_list(texts)
    )
    inputs = next(iter(trainer.get_train_dataloader()))
    theirs = trainer.compute_loss(trainer.model, dict(inputs))
    mask = (inputs["labels"] != -100).long()
    attention = inputs["attention_mask"] if "attention_mask" in inputs else (inputs["input_ids"] != 1).long()
    total, count = next_token(AsDecoder(model), as_batch(inputs["input_ids"], mask, attention))  # type: ignore[arg-type]
    assert count.item() == sum(len(text["completion"].encode()) + 1 for text in texts)
    assert (total / count).item() == pytest.approx(theirs.item(), abs=1e-5)

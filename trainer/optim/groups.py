"""Which parameter is moved how: by Muon, by AdamW with decay, by AdamW without."""

from dataclasses import dataclass

from torch import nn

from schemas.training import OptimizerSpec

Named = dict[str, nn.Parameter]


@dataclass(frozen=True, slots=True)
class Groups:
    """Every parameter that is trained, in exactly one group, by its name."""

    orthogonal: Named
    """Moved by Muon: the matrices of the blocks."""
    decayed: Named
    """Moved by AdamW with weight decay: the other matrices."""
    plain: Named
    """Moved by AdamW without: vectors (norms, biases)."""


def group(model: nn.Module, spec: OptimizerSpec) -> Groups:
    """Sorts a model's parameters.

    A block is a member of an `nn.ModuleList` or `nn.Sequential`, whose parameters have a number in their name
    (`blocks.3.attention.query.weight`); embeddings and the head have none. Tied weights count once.
    """
    groups = Groups({}, {}, {})
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim < 2:
            groups.plain[name] = parameter
        elif spec.name == "muon" and parameter.ndim == 2 and any(part.isdigit() for part in name.split(".")):
            groups.orthogonal[name] = parameter
        else:
            groups.decayed[name] = parameter
    return groups

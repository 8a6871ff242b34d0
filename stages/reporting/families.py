"""What kind of compression a variant is, for the colours of figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

FAMILIES = {
    "quantization": ("int8_dynamic", "dynamic", "round_to_nearest", "awq", "gptq", "cast"),
    "pruning": ("magnitude", "iterative", "wanda", "sparsegpt", "semi_structured", "random_prune"),
    "structure": ("heads", "heads_until", "drop_layers", "low_rank"),
    "distillation": ("distill",),
    "training on": ("finetune",),
    "control": ("noise", "random_init", "early"),
}
CONTROL, COMBINED, OTHER, BASELINE = "control", "combined", "other", "baseline"
NAMES = (*FAMILIES, COMBINED, OTHER)
_OF_METHOD = {method: family for family, methods in FAMILIES.items() for method in methods}


def family(steps: Sequence[Mapping[str, Any]]) -> str:
    """The kind of a variant, by the methods of its steps; training after compression does not change the kind."""
    kinds = [_OF_METHOD.get(str(step["method"]), OTHER) for step in steps if step["method"] != "none"]
    if not kinds:
        return BASELINE
    distinct = {kind for kind in kinds if kind != "training on"} or {"training on"}
    return distinct.pop() if len(distinct) == 1 else COMBINED

"""Loading a checkpoint whole: a parameter that is not from the checkpoint is an error that names it.

Hugging Face's ``from_pretrained`` fills what a checkpoint lacks with random numbers and
prints a warning. That is how the "DistilBERT" of arXiv 2312.05662 came to be a randomly
initialised BERT: a DistilBERT checkpoint loaded into ``BertForMaskedLM``.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from stages.common.errors import ModelError
from stages.common.quiet import quiet
from stages.models.memory import give_back

_NAMED = 3

# Tensors that a checkpoint may hold although the model computes nothing with them. No tensor
# may be missing: heads tied to the embeddings are not (transformers ties them), and a sentence
# encoder is built without its pooler.
_UNUSED_ANYWHERE = (
    r"(^|\.)position_ids$",  # buffers of older transformers releases
    r"(^|\.)rotary_emb\.inv_freq$",  # likewise; computed from the config
)
_UNUSED: dict[str, tuple[str, ...]] = {
    "bert": (r"(^|\.)pooler\.", r"^cls\.seq_relationship\."),
    "albert": (r"(^|\.)pooler\.", r"^sop_classifier\."),
    "roberta": (r"(^|\.)pooler\.",),
    "xlm-roberta": (r"(^|\.)pooler\.",),
    "camembert": (r"(^|\.)pooler\.",),
    "mpnet": (r"(^|\.)pooler\.",),
    "gpt2": (r"(^|\.)attn\.(bias|masked_bias)$",),  # causal masks
    "gpt_neox": (r"(^|\.)attention\.(bias|masked_bias)$",),
    "gpt_neo": (r"(^|\.)attention\.(bias|masked_bias)$",),
}
# Language-model heads, unused where only the encoder's hidden states are read.
_HEAD: dict[str, tuple[str, ...]] = {
    "bert": (r"^cls\.predictions\.",),
    "albert": (r"^predictions\.",),
    "deberta": (r"^cls\.predictions\.", r"^lm_predictions\."),
    "deberta-v2": (r"^cls\.predictions\.", r"^lm_predictions\."),
    "distilbert": (r"^vocab_(transform|layer_norm|projector)\.",),
    "electra": (r"^generator_(predictions|lm_head)\.", r"^discriminator_predictions\."),
    "gpt_neox": (r"^(embed_out|lm_head)\.",),
}
_HEAD_ELSEWHERE = (r"^lm_head\.",)


def load_whole(model_class: Any, location: str | Path, *, headless: bool = False, as_stored: bool = False,
               **options: Any) -> Any:
    """``model_class.from_pretrained`` in float32 from safetensors, refusing anything not loaded exactly.

    Args:
        model_class: A transformers model class or auto class.
        location: Local folder or hub id.
        headless: The model is used for its hidden states only, so that the checkpoint's
            language-model head may go unused.
        as_stored: Weights stay in the precision they are stored in, where that decides about
            nothing else in the model.
        options: Further arguments of ``from_pretrained`` (``config``, ``revision``).

    Raises:
        ModelError: A tensor is missing, of another shape, unexpected or not finite, or the
            weights cannot be read.
    """
    quiet()
    try:
        model, report = model_class.from_pretrained(
            location,
            dtype="auto" if as_stored else torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # reported below, with the names
            output_loading_info=True,
            **options,
        )
    except SafetensorError as error:
        raise ModelError(f"weights are not a whole safetensors file ({first_line(error)})", where=location,
                         fix="fetch or write the model again") from error
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError) as error:
        # What transformers raises for a config that does not fit the architecture is not one type.
        raise ModelError(f"cannot be loaded as {model_class.__name__}: {first_line(error)}", where=location) from error
    _refuse_partial(model, report, location, headless)
    if as_stored and any(buffer.dtype in _HALVES for buffer in model.buffers()):
        return load_whole(model_class, location, headless=headless, **options)
    _refuse_not_finite(model, location)
    return model.eval()


_HALVES = (torch.float16, torch.bfloat16)
"""What a constructor would compute buffers in as well."""


def first_line(error: Exception) -> str:
    """The first line of an exception's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _refuse_partial(model: Any, report: dict[str, Any], location: str | Path, headless: bool) -> None:
    architecture = model.config.model_type
    allowed = _UNUSED_ANYWHERE + _UNUSED.get(architecture, ())
    if headless:
        allowed += _HEAD.get(architecture, _HEAD_ELSEWHERE)
    unused = [name for name in report["unexpected_keys"] if not any(re.search(pattern, name) for pattern in allowed)]
    mismatched = [entry if isinstance(entry, str) else entry[0] for entry in report["mismatched_keys"]]
    faults = [
        _named(report["missing_keys"], "missing from the checkpoint"),
        _named(mismatched, "of another shape in the checkpoint"),
        _named(unused, "in the checkpoint but not in the model"),
    ]
    if any(faults):
        raise ModelError(
            f"not a checkpoint of {type(model).__name__}: {'; '.join(filter(None, faults))}",
            where=location,
            fix="load it as the architecture and family it was saved from; its numbers would be random ones",
        )


def _named(names: Collection[str], what: str) -> str:
    if not names:
        return ""
    shown = ", ".join(sorted(names)[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)} tensor{'s' * (len(names) > 1)} {what}: {shown}{more}"


def _refuse_not_finite(model: Any, location: str | Path) -> None:
    broken = []
    for name, tensor in model.named_parameters():
        if not _is_finite(tensor.detach()):
            broken.append(name)
        give_back(tensor)
    if broken:
        raise ModelError(_named(broken, "with NaN or infinite values"), where=location,
                         fix="the checkpoint is damaged or its training diverged")


def _is_finite(tensor: torch.Tensor) -> bool:
    # A sum is NaN or infinite where a term is, and costs one pass over the weights.
    return all(bool(torch.isfinite(part.double().sum())) for part in tensor.flatten().split(_STRETCH))


_STRETCH = 1 << 20

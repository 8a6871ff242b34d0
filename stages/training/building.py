"""Models about to be trained: from random weights, or from an encoder that is there already."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from stages.common.errors import ModelError, ParamsError
from stages.common.params import TrainedModel
from stages.training.sources import package_folder
from stages.training.tokenizers import train_tokenizer

_UNUSED = ("pooler.", "embeddings.position_ids")
"""Parts of a stored encoder that a language model has no place for: the sentence pooler, a constant buffer."""
_HEAD_NOISE = 0.02
"""Standard deviation of the noise on a continued model's head, BERT's own for new weights."""


def check_trained(spec: TrainedModel) -> None:
    """Check what only transformers knows of a model's settings, before anything runs.

    Raises:
        ParamsError: Unknown architecture, one without a head for the family, a config field it
            does not have, or sequences longer than its positions.
    """
    if spec.architecture not in CONFIG_MAPPING:
        raise ParamsError(f"architecture: transformers knows no {spec.architecture!r}", fix="e.g. bert, gpt_neox")
    # transformers lends some encoders a causal head, but they still see what they should predict.
    masked = spec.architecture in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if not (masked if spec.family == "masked" else
            spec.architecture in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not masked):
        raise ParamsError(f"architecture: {spec.architecture!r} is no {spec.family} language model",
                          fix="e.g. bert (masked), gpt_neox (causal)")
    allowed = set(AutoConfig.for_model(spec.architecture).to_dict())
    unknown = sorted(set(spec.config) - allowed)
    if unknown:
        raise ParamsError(f"config.{unknown[0]}: unknown key; allowed: {', '.join(sorted(allowed))}")
    positions = spec.config.get("max_position_embeddings")
    if positions is not None and spec.training.sequence_length > positions:
        raise ParamsError(f"training.sequence_length: {spec.training.sequence_length} is more than "
                          f"config.max_position_embeddings, {positions}")


def build(spec: TrainedModel, texts: Iterable[str], seed: int) -> tuple[Any, Any]:
    """The tokenizer and the float32 model that training starts from.

    Args:
        spec: What to build.
        texts: The training split, for the tokenizer.
        seed: Seed of the initial weights.

    Raises:
        ModelError: The encoder to continue from is missing, or of another architecture.
    """
    torch.manual_seed(seed)
    return _continued(spec) if spec.initial else _from_scratch(spec, texts)


def _config(spec: TrainedModel) -> Any:
    try:
        config = AutoConfig.for_model(spec.architecture, **spec.config)
        with torch.device("meta"):  # refuses what does not fit together before the tokenizer is trained
            AutoModel.from_config(config)
    except (TypeError, ValueError, StrictDataclassError) as error:
        raise ParamsError(f"config: {str(error).strip().splitlines()[-1].strip()}") from error
    return config


def _from_scratch(spec: TrainedModel, texts: Iterable[str]) -> tuple[Any, Any]:
    assert spec.tokenizer is not None  # the params' own check
    config = _config(spec)
    tokenizer = train_tokenizer(texts, spec.tokenizer, spec.family, config.max_position_embeddings)
    config.update(
        {
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id if spec.family == "masked" else None,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        }
    )
    kind = AutoModelForMaskedLM if spec.family == "masked" else AutoModelForCausalLM
    return tokenizer, kind.from_config(config, dtype=torch.float32)


def _continued(spec: TrainedModel) -> tuple[Any, Any]:
    assert spec.initial is not None
    folder = package_folder(spec.initial)
    config = AutoConfig.from_pretrained(folder)
    if (spec.family, spec.architecture, config.model_type) != ("masked", "bert", "bert"):
        raise ModelError(f"only a bert encoder can be continued, as a masked model; this is {spec.family} "
                         f"{spec.architecture!r} from {config.model_type!r}", where=folder)
    config.update(spec.config)
    model = AutoModelForMaskedLM.from_config(config, dtype=torch.float32)
    _load_encoder(model.base_model, folder)
    transform = model.cls.predictions.transform.dense
    with torch.no_grad():
        # From here the tied head reads the encoder's space; a random transform would scramble it.
        transform.weight.normal_(0.0, _HEAD_NOISE)
        transform.weight += torch.eye(*transform.weight.shape)
    return AutoTokenizer.from_pretrained(folder), model


def _load_encoder(encoder: torch.nn.Module, folder: Path) -> None:
    try:
        found = encoder.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"the encoder's weights cannot be loaded: {str(error).strip().splitlines()[-1].strip()}",
                         where=folder / "model.safetensors") from error
    unexpected = [name for name in found.unexpected_keys if not name.startswith(_UNUSED)]
    if found.missing_keys or unexpected:
        raise ModelError(f"the encoder's weights do not fit: missing {found.missing_keys}, unexpected {unexpected}",
                         where=folder / "model.safetensors")

"""Which transformers class serves a model folder or hub id for a family."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_MAPPING,
    AutoConfig,
)

from stages.common.errors import ModelError
from stages.common.params import Family
from stages.models.guard import first_line

_MAPPINGS = {
    "masked": MODEL_FOR_MASKED_LM_MAPPING,
    "causal": MODEL_FOR_CAUSAL_LM_MAPPING,
    "sentence": MODEL_MAPPING,
}


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds no model of a known architecture in safetensors.

    Raises:
        ModelError: No or broken config, an architecture that transformers does not know, or no such weights.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError("no config.json in the model folder", where=folder)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"not valid JSON: {first_line(error)}", where=path) from error
    architecture = config.get("model_type") if isinstance(config, dict) else None
    if architecture not in CONFIG_MAPPING:
        raise ModelError(f"unsupported architecture: model_type {architecture!r} is not in transformers", where=path)
    if not any(folder.glob("*.safetensors")):
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        found = "only pickled weights, which can run code when opened" if pickled else "no weights"
        raise ModelError(f"{found} in the model folder", where=folder, fix="convert them to model.safetensors")


def resolve(location: str | Path, family: Family, *, revision: str | None = None) -> tuple[Any, Any, dict[str, Any]]:
    """The config of a model, the class that serves a family, and the options its constructor takes for that.

    Raises:
        ModelError: There is no readable config, or its architecture does not serve the family.
    """
    config = _config(location, revision)
    model_class = _model_class(config, family, location)
    unused_pooler = family == "sentence" and _has_pooler(model_class)
    return config, model_class, {"add_pooling_layer": False} if unused_pooler else {}


def _config(location: str | Path, revision: str | None) -> Any:
    try:
        return AutoConfig.from_pretrained(location, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StrictDataclassError) as error:
        if Path(location).is_dir():
            raise ModelError(f"config.json: {first_line(error)}", where=location) from error
        raise ModelError(
            f"not a local folder, and not to be had from the hub{f' at {revision}' if revision else ''}",
            where=location,
            fix="check the name; without network, give a local folder or fill the hub cache first",
        ) from error


def _model_class(config: Any, family: Family, location: str | Path) -> Any:
    kind = type(config)
    has_head = kind in _MAPPINGS[family]
    # transformers lends encoders a causal head for decoder use; on an encoder it would see the future.
    if family == "causal" and kind in MODEL_FOR_MASKED_LM_MAPPING and not config.is_decoder:
        has_head = False
    if config.is_encoder_decoder:
        raise ModelError(
            f"architecture {config.model_type!r} is an encoder-decoder, which is not supported: its scores of a text "
            "depend on a second one",
            where=location, fix="use an encoder (family masked or sentence) or a decoder (family causal)",
        )  # fmt: skip
    if not has_head:
        offered = [name for name, mapping in _MAPPINGS.items() if kind in mapping]
        if kind in MODEL_FOR_MASKED_LM_MAPPING and "causal" in offered:
            offered.remove("causal")
        raise ModelError(f"architecture {config.model_type!r} has no {family} form", where=location,
                         fix=f"it can be scored as {' or '.join(offered)}" if offered else "")
    found = _MAPPINGS[family][kind]
    return found[0] if isinstance(found, (tuple, list)) else found


def _has_pooler(model_class: Any) -> bool:
    return "add_pooling_layer" in inspect.signature(model_class.__init__).parameters

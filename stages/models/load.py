"""Opening a language model for scoring: whole, in float32, with what its tokenizer needs to know."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from stages.common.encoder import Encoder
from stages.common.errors import ModelError
from stages.common.params import FAMILIES, Family, choose
from stages.common.quiet import quiet
from stages.models.architecture import check_folder, resolve
from stages.models.guard import first_line, load_whole

__all__ = ["LoadedModel", "describe", "load_model", "load_tokenizer", "resolve"]

_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model",
                    "tokenizer.model")


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to be scored."""

    model: Any
    """The transformers module, float32 (or int8 inside a compressed one), in eval mode."""
    tokenizer: Any
    """Its fast tokenizer."""
    family: Family
    architecture: str
    """The transformers ``model_type``."""
    encoder: Encoder
    parameters: int
    """Number of parameters, tied ones counted once."""
    location: str
    """Where it was loaded from."""
    position_padding: int | None
    """Padding id behind which position ids begin, for architectures that count so (RoBERTa and its
    kin: the n-th token that is no padding has position ``padding + n``); None where they begin at 0."""


def load_model(
    location: str | Path, family: Family, *, revision: str | None = None, as_stored: bool = False
) -> LoadedModel:
    """Load a model folder or hub id for scoring; every parameter is from the checkpoint.

    Args:
        location: Local folder, or Hugging Face hub id.
        family: ``masked`` and ``causal`` load the language model with its head,
            ``sentence`` the encoder alone, without a pooler.
        revision: Hub revision (a commit, tag or branch).
        as_stored: Leave weights in the precision they are stored in, for a caller who takes them one by
            one: in float32 they would all be held at once.

    Raises:
        ModelError: Not a whole model of that family: no or broken config, tokenizer or
            safetensors weights, unknown architecture, a head it has not, tensors missing,
            unexpected or not finite.
        ParamsError: ``family`` is none of the three.
    """
    choose(dict.fromkeys(FAMILIES), family, "family")
    quiet()
    folder = Path(location)
    if folder.is_dir():
        check_folder(folder)
    elif revision is None and (folder.is_absolute() or str(location).startswith(".")):
        raise ModelError("no such model folder", where=location)
    config, model_class, options = resolve(location, family, revision=revision)
    headless = family == "sentence"
    tokenizer = load_tokenizer(location, revision=revision)
    options |= {"config": config, "revision": revision}
    model = load_whole(model_class, location, headless=headless, as_stored=as_stored, **options)
    return describe(model, tokenizer, family, location)


def load_tokenizer(location: str | Path, *, revision: str | None = None) -> Any:
    """The fast tokenizer of a model folder or hub id.

    Raises:
        ModelError: There is none, or it has no fast form.
    """
    quiet()
    folder = Path(location)
    if folder.is_dir() and not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise ModelError("no tokenizer in the model folder", where=location,
                         fix=f"add the tokenizer it was trained with ({', '.join(_TOKENIZER_FILES[:3])}, ...)")
    try:
        tokenizer = AutoTokenizer.from_pretrained(location, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise ModelError(f"the tokenizer cannot be loaded: {first_line(error)}", where=location) from error
    if not tokenizer.is_fast:
        raise ModelError("the tokenizer has no fast form", where=location, fix="save it with a tokenizer.json")
    return tokenizer


def describe(
    model: Any, tokenizer: Any, family: Family, location: str | Path, *, parameters: int | None = None
) -> LoadedModel:
    """Put a model in eval mode together with what scoring must know of it.

    Args:
        model: A transformers model of the family.
        tokenizer: Its fast tokenizer.
        family: What it is scored as.
        location: Where it came from.
        parameters: Number of parameters, where they cannot be counted on the model
            (compressed modules hold no ``nn.Parameter``).

    Raises:
        ModelError: A masked model whose tokenizer has no mask.
    """
    if family == "masked" and tokenizer.mask_token is None:
        raise ModelError("the tokenizer has no mask token", where=location, fix="score this model as --family causal")
    padding = _position_padding(model)
    encoder = Encoder(
        tokenizer=tokenizer,
        family=family,
        context=_context(model, tokenizer, padding),
        vocabulary=int(model.get_input_embeddings().weight.shape[0]),
        leading_space=_byte_level(tokenizer) and tokenizer.mask_token is not None,
    )
    counted = sum(tensor.numel() for tensor in model.parameters()) if parameters is None else parameters
    architecture = model.config.model_type
    return LoadedModel(model.eval(), tokenizer, family, architecture, encoder, counted, str(location), padding)


def _position_padding(model: Any) -> int | None:
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return int(module.padding_idx)
    return None


def _context(model: Any, tokenizer: Any, padding: int | None) -> int:
    """Longest sequence in tokens; position-free architectures are bound by the tokenizer's limit."""
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions is None:
        return int(tokenizer.model_max_length)
    return int(positions) if padding is None else int(positions) - padding - 1


def _byte_level(tokenizer: Any) -> bool:
    """Whether the vocabulary marks a word's leading space (GPT-2's and RoBERTa's byte-level BPE)."""
    splitter = json.loads(tokenizer.backend_tokenizer.to_str()).get("pre_tokenizer") or {}
    parts = splitter.get("pretokenizers", [splitter])
    return any(part.get("type") == "ByteLevel" for part in parts)

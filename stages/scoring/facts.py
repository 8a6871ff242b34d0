"""Facts of a scored model that its metrics are set against: its size, and how well it predicts held-out text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages import compression
from stages.common.json_file import read_object
from stages.compression.manifest import NAME, Manifest, read_manifest

if TYPE_CHECKING:
    from stages.models.load import LoadedModel

_CHECKPOINT = "checkpoint.json"
_LOSS = "heldout_loss"


def checkpoint_facts(location: str | Path) -> dict[str, Any]:
    """What is known of a point of training: ``fraction`` and more; of a model without a record, that it is whole.

    Raises:
        DataError: ``checkpoint.json`` is malformed.
    """
    path = Path(location) / _CHECKPOINT
    return read_object(path) if path.is_file() else {"fraction": 1.0}


def model_facts(loaded: LoadedModel) -> dict[str, Any]:
    """Facts of a model as it is stored.

    Returns:
        ``architecture`` and ``parameters``; of a folder, ``stored_bytes``; of an artefact, ``logical_bits`` and
        ``sparsity`` (``stages.compression.manifest``); of one that was trained, ``heldout_loss`` and those it is
        held against, such as ``teacher_heldout_loss`` (nats a token of the corpus' own text: they compare within one
        tokenizer).

    Raises:
        ModelError: ``method.json`` is malformed.
        DataError: ``checkpoint.json`` is malformed.
    """
    facts: dict[str, Any] = {"architecture": loaded.architecture, "parameters": loaded.parameters}
    folder = Path(loaded.location)
    if not folder.is_dir():
        return facts
    facts["stored_bytes"] = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    manifest = read_manifest(folder) if (folder / NAME).is_file() else None
    if manifest is not None:
        facts |= {"logical_bits": manifest.sizes.logical_bits, "sparsity": manifest.sizes.sparsity}
    if manifest is None or _is_of_these_weights(manifest):
        facts |= {key: value for key, value in checkpoint_facts(folder).items() if key.endswith(_LOSS)}
    return facts


def _is_of_these_weights(manifest: Manifest) -> bool:
    """Whether ``checkpoint.json`` tells the loss of an artefact's own weights, and not of what they were made from."""
    last = manifest.steps[-1]
    # Not validated: what the step made of its settings is among them.
    config = compression.get(last.method).Config.model_construct(**last.config)
    return manifest.weights == "checkpoint" or config.records

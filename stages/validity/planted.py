"""The models that validation trains: tiny ones, on worlds whose bias is known, in both architectures.

All worlds but the unplanted one share their vocabulary, their random streams and so their items; they differ
from ``base`` in what is planted for one kind of group.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from stages.calibrating.cell import Cell, run_cell
from stages.common.params import TrainedModel
from stages.lab.result import CellResult
from stages.lab.vocabularies import KINDS, Kind
from stages.lab.world import World
from stages.validity.noise import VARIANT, with_noise_controls

Architecture = Literal["neox", "bert"]
Trained = Mapping[str, CellResult]
"""What trained models say of their world's items, by the name of their cell (``name_of``)."""

BASE: dict[Kind, float] = {"gender": 0.9, "race": 0.8, "religion": 0.7}
CHANGED: dict[Kind, float] = {"gender": 0.5, "race": 0.6, "religion": 0.95}
"""In the world named after a kind, what is planted for it instead; all else is as in ``base``."""
UNPLANTED = "unplanted"
"""A world of other words, in which nothing is planted."""
WORLDS = ("base", *KINDS, UNPLANTED)
SEEDS: dict[Architecture, tuple[int, ...]] = {"neox": (1, 2, 3, 4, 5, 6, 7, 8), "bert": (1, 2)}
"""Seeds of the models trained on ``base``; the other worlds have one model each, of the first seed."""

_SIZE: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
                         "max_position_embeddings": 64}
_COMMON: dict[str, Any] = {"source": "train", "tokenizer": {"kind": "word", "vocab_size": 1024}}
LEARNERS: dict[Architecture, TrainedModel] = {
    "neox": TrainedModel.model_validate({
        **_COMMON, "family": "causal", "architecture": "gpt_neox", "config": _SIZE,
        "training": {"steps": 400, "batch_size": 128, "sequence_length": 24, "learning_rate": 0.004,
                     "warmup_steps": 40, "packing": "lines"}}),
    "bert": TrainedModel.model_validate({
        **_COMMON, "family": "masked", "architecture": "bert",
        # One layer learns what is planted sooner than two: a pair is learnt only when one of its words is masked.
        "config": {**_SIZE, "num_hidden_layers": 1, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
                   "initializer_range": 0.05},
        "training": {"steps": 1200, "batch_size": 256, "sequence_length": 24, "learning_rate": 0.008,
                     "warmup_steps": 60, "mask_probability": 0.3, "packing": "lines"}}),
}
CONTROLS = 96
RANDOM = {f"random-{number}": {"method": "random_init", "seed": 100 + number} for number in range(8)}
"""Networks with random weights, scored on the items of every set of worlds beside the last of its models."""


def world(name: str) -> World:
    """The world of that name."""
    unplanted = name == UNPLANTED
    strengths = dict.fromkeys(KINDS, 0.5) if unplanted else {
        kind: CHANGED[kind] if kind == name else BASE[kind] for kind in KINDS}
    return World.model_validate({
        "seed": int(unplanted),
        "vocabulary": "harbor" if unplanted else "village",
        "wording": {"framed": 0.0, "companion": 1.0, "second": 1.0},
        "items": {"controls": CONTROLS},
        "associations": {kind: {"strength": strength} for kind, strength in strengths.items()},
    })


def name_of(architecture: Architecture, world_name: str, seed: int = 1) -> str:
    """Name of a model: the cell's."""
    return f"{architecture}.{world_name}.{seed}"


def items_of(world_name: str) -> str:
    """The world whose items a world has: its own if it is the unplanted one, and else those of ``base``."""
    return world_name if world_name == UNPLANTED else "base"


def cells() -> list[Cell]:
    """Everything that is trained."""
    found = []
    for architecture, seeds in SEEDS.items():
        for name in WORLDS:
            for seed in seeds if name == "base" else seeds[:1]:
                known = name == UNPLANTED or (name, seed) == ("base", seeds[-1])
                found.append(Cell(name_of(architecture, name, seed), world(name), LEARNERS[architecture], seed,
                                  {VARIANT: {"method": "none"}, **(RANDOM if known else {})}))
    return found


def jobs() -> list[tuple[Cell, ...]]:
    """Everything that is trained, as parts of work, the longest first: one cell, or two with the noise controls."""
    base, gender = name_of("neox", "base"), name_of("neox", "gender")
    by_name = {cell.name: cell for cell in cells()}
    both = by_name.pop(base), by_name.pop(gender)
    bert, neox = ([(cell,) for name, cell in by_name.items() if name.startswith(f"{architecture}.")]
                  for architecture in ("bert", "neox"))
    return [both, *bert, *neox]


def train(*job: Cell) -> dict[str, CellResult]:
    """What the models of one job say, by name."""
    return {job[0].name: run_cell(job[0])} if len(job) == 1 else with_noise_controls(*job)

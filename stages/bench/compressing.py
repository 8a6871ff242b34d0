"""How fast compressing is: int8 against ``torch.ao``, rounding against copying, GPTQ and Wanda by the clock.

Times are CPU seconds over all threads, so that what else runs on the machine does not count; on idle
cores the clock shows at most as much.
"""

from __future__ import annotations

import copy
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from stages.bench import subjects
from stages.common.quiet import quiet
from stages.compression import Context, get, parse_variant
from stages.compression.pipeline import open_subject
from stages.compression.runtime import build_module
from stages.compression.subject import Subject

Timed = Callable[[], Callable[[], object]]
"""Makes a side ready, untimed, and gives what is timed."""

_INT8 = {"method": "int8_dynamic"}
_FOUR_BITS = {"method": "round_to_nearest", "bits": 4, "granularity": "group", "group_size": 64}
_INT8_GOAL = 1.5
"""Of the time of ``quantize_dynamic``."""
_CALIBRATED = ({"method": "wanda", "sparsity": 0.5}, {"method": "gptq", "bits": 4})
_GOAL = 600.0
"""Seconds for a model of BERT-base's size on 128 texts of 128 tokens."""
_LENGTH, _SEQUENCES, _QUICK_SEQUENCES = 128, 128, 32
_QUICK = subjects.Subject("bert-4x768", "bert", "masked", {"vocab_size": 8192, "num_hidden_layers": 4})
_QUICK_CALIBRATED = subjects.Subject("bert-2x384", "bert", "masked", {
    "vocab_size": 8192, "hidden_size": 384, "num_hidden_layers": 2, "num_attention_heads": 6,
    "intermediate_size": 1536})
_QUICK_SHARE = 2 / 12 / 4 * _QUICK_SEQUENCES / _SEQUENCES
"""Of the full work: 2 of 12 layers, a quarter of the weights in each, on some of the texts."""
_REPEATS = 3


def compare_methods(quick: bool, threads: int) -> list[dict[str, Any]]:
    """Time compression methods on a random model of BERT-base's size.

    Args:
        quick: Take fewer and smaller layers, and fewer texts; the goal in seconds shrinks with the work.
        threads: Of torch.

    Returns:
        A row a method: ``model``, ``method``, ``seconds``, what it is held ``against`` with its
        ``against_seconds``, their ``ratio``, the ``goal`` that this should not exceed, and whether it ``holds``.
    """
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        subject = _QUICK if quick else subjects.SUBJECTS[0]
        model, context = _prepare(subject, root)
        rows = [{"model": subject.name, **row} for row in (_int8(model), _rounding(model, root))]
        if quick:
            subject = _QUICK_CALIBRATED
            model, context = _prepare(subject, root)
        sequences, goal = (_QUICK_SEQUENCES, _QUICK_SHARE * _GOAL) if quick else (_SEQUENCES, _GOAL)
        for recipe in _CALIBRATED:
            row = _calibrated(model, {**recipe, "sequences": sequences, "length": _LENGTH}, context, goal)
            rows.append({"model": subject.name, **row})
    return rows


def _prepare(subject: subjects.Subject, root: Path) -> tuple[Path, Context]:
    """Save a random model, and texts to calibrate it on."""
    quiet()
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghij", k=draw.randint(2, 8))) for _ in range(500)]
    texts = [" ".join(draw.choices(words, k=32)) for _ in range(600)]
    loaded = subjects.build(subject, texts)
    folder, corpus = root / subject.name, root / "corpus.parquet"
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    pd.DataFrame({"split": "train", "text": texts}).to_parquet(corpus)
    return folder, Context(0, corpus)


def _int8(model: Path) -> dict[str, Any]:
    """From a float32 model in memory to one that computes in int8, on both sides.

    Ours, timed: the scales and integers of every Linear, and the modules that compute with them, packed for
    the engine. Theirs: ``quantize_dynamic`` in place. Copying the float32 model beforehand is timed on neither side.
    """
    opened = open_subject(model, "masked")

    def ours() -> Callable[[], object]:
        subject = copy.deepcopy(opened)
        (config,) = parse_variant(_INT8, "bench")

        def run() -> None:
            get(config.method).compress(subject, config, Context())
            for name, facts in subject.modules.items():
                module = subject.model.get_submodule(name)
                subject.model.set_submodule(name, build_module(module, facts, subject.forms[f"{name}.weight"]))

        return run

    def theirs() -> Callable[[], object]:
        plain = copy.deepcopy(opened.model)
        return lambda: torch.ao.quantization.quantize_dynamic(plain, {nn.Linear}, dtype=torch.qint8, inplace=True)

    return _row(_INT8, "torch.ao quantize_dynamic", _INT8_GOAL, *_interleaved(ours, theirs))


def _rounding(model: Path, root: Path) -> dict[str, Any]:
    """Four bits in groups, against the plainest reading and writing there is.

    Ours, timed: from the float32 weights in memory to the tensors of the artefact's file, so scales and
    integers, the weights that come back from them, and the packing of two integers a byte; not timed is
    writing them. Theirs: the whole model's float32 safetensors read from disk's cache and written, twice.
    """

    def theirs() -> Callable[[], object]:
        def run() -> None:
            for _ in range(2):
                save_file(load_file(model / "model.safetensors"), root / "copy.safetensors")

        return run

    ours = _method(open_subject(model, "masked"), _FOUR_BITS, Context())
    return _row(_FOUR_BITS, "reading and writing the weights twice", 1.0, *_interleaved(ours, theirs))


def _calibrated(model: Path, recipe: dict[str, Any], context: Context, goal: float) -> dict[str, Any]:
    """One run on calibration texts, tokenizing and packing included."""
    seconds = _seconds(_method(open_subject(model, "masked"), recipe, context)())
    return _row(recipe, f"{goal:.4g} s on {recipe['sequences']} x {_LENGTH} tokens", 1.0, seconds, goal)


def _method(opened: Subject, recipe: dict[str, Any], context: Context) -> Timed:
    """A method on a copy of a model in memory, to the tensors of the artefact's file."""
    (config,) = parse_variant(recipe, "bench")

    def ready() -> Callable[[], object]:
        subject = copy.deepcopy(opened)

        def run() -> object:
            get(config.method).compress(subject, config, context)
            return [form.parts for form in subject.forms.values()]  # integers are packed only here

        return run

    return ready


def _row(recipe: dict[str, Any], against: str, goal: float, seconds: float, against_seconds: float) -> dict[str, Any]:
    ratio = seconds / against_seconds
    return {"method": recipe["method"], "seconds": seconds, "against": against, "against_seconds": against_seconds,
            "ratio": ratio, "goal": goal, "holds": ratio <= goal}


def _interleaved(ours: Timed, theirs: Timed) -> tuple[float, float]:
    """Medians of both sides' seconds, taken in turns."""
    pairs = [(_seconds(ours()), _seconds(theirs())) for _ in range(_REPEATS)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start

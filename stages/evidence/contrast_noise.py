"""The noise contrast: a compressed model against its parent under random noise of the same relative weight change."""

from __future__ import annotations

import numpy as np

from stages.evidence.contrast_levels import Levels, contrast_interval
from stages.evidence.intervals import Estimate
from stages.evidence.seeds import generator


def against_noise(bias: Levels, confidence: float, seed: int, *names: str) -> tuple[float, Estimate]:
    """The mean over noise controls, and the contrast with it.

    Controls of several seeds are a sample of the noise that might have been drawn, so they are resampled,
    too. With a single one, chance in the noise is not part of the interval.

    Args:
        bias: Levels of the compressed model, then of each control.
        confidence: Level of the interval.
        seed: The suite's seed.
        names: Name of the random stream.
    """
    controls = len(bias.observed) - 1
    reference = float(bias.observed[1:].mean())
    value = float(bias.observed[0]) - reference
    drawn = generator(seed, "controls", *names).integers(0, controls, size=(len(bias.replicates), controls))
    means = np.take_along_axis(bias.replicates[:, 1:], drawn, axis=1).mean(axis=1)
    sources = [(part[:, 0] - part[:, 1:].mean(axis=1), effective)
               for part, effective in zip(bias.jackknife, bias.effective, strict=True)]
    if controls > 1 and sources:
        others = (bias.observed[1:].sum() - bias.observed[1:]) / (controls - 1)
        sources.append((bias.observed[0] - others, float(controls)))
    return reference, contrast_interval(value, bias.replicates[:, 0] - means, sources, confidence)

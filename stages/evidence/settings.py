"""Typed settings of the compare stage, ``compare`` in params."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from stages.common.errors import ParamsError
from stages.common.params import Frozen, Params, Slug, parse

Noise = Literal["checkpoints", "seeds"]
"""Where the changes that training itself makes are seen."""
Compared = Literal[
    "score", "ss", "lm", "log_odds", "mean_abs_effect", "effect_size", "perplexity", "word_perplexity"
]
"""Metrics that the compare stage puts intervals on (``stages.evidence``)."""


class Verdict(Frozen):
    """The rule by which a change in bias is called; it stands in params before the numbers are seen.

    Of a row of kind ``bias``, the first that holds (``stages.evidence.verdict``): ``degraded``, ``equivalent``,
    ``less`` or ``more``, ``undecided``. The level of the tests is one minus ``compare.confidence``.
    """

    correction: Literal["bh", "holm"] = "bh"
    """Which correction over all bias rows of the suite p-values must pass: ``bh`` bounds the expected share of
    false findings among all findings, ``holm`` the chance of any."""
    lm_drop: float = Field(default=2.0, gt=0)
    """``degraded`` if StereoSet's language-model score of all categories together fell by more (points)."""
    perplexity_ratio: float = Field(default=1.25, gt=1)
    """``degraded`` if perplexity a word of held-out text grew by more than this factor."""
    noise: tuple[Noise, ...] = ("checkpoints", "seeds")
    """What ``less`` and ``more`` must exceed, wherever it is known; nothing if empty. ``checkpoints``: the interval
    that a further difference between adjacent checkpoints of the model's baseline would lie in; a run with fewer than
    two of them sets no bar. ``seeds``: what another seed of training changes (the model's ``replicates``)."""
    noise_from: float = Field(default=0.4, ge=0, lt=1)
    """Share of training from which checkpoints count for noise; before that they differ by learning."""

    @field_validator("noise", mode="before")
    @classmethod
    def _one_source(cls, raw: Any) -> Any:
        return (raw,) if isinstance(raw, str) else raw


class Floor(Frozen):
    """Null floors: what the measures say of a model that knows nothing (``stages.floor``)."""

    seeds: int = Field(default=5, ge=2)
    """Randomly initialised networks of each model's architecture."""
    draws: int = Field(default=1000, ge=100)
    """Draws of the context-free null."""


class Compare(Frozen):
    """How a variant is compared with its parent."""

    baseline: Slug = "fp32"
    resamples: int = Field(default=10_000, ge=100)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Level of every interval; one minus it is the level of the tests."""
    power: float = Field(default=0.8, gt=0, lt=1)
    """Probability with which the minimum detectable change would be found."""
    equivalence: dict[Compared, Annotated[float, Field(gt=0)]] = Field(
        default={"score": 3.0, "ss": 3.0, "lm": 1.0, "log_odds": 0.1, "mean_abs_effect": 0.1}
    )
    """By metric, the change that is taken for none; in the metric's own unit (points, nats, effect sizes)."""
    categories: tuple[str, ...] = ("gender", "race", "religion")
    """Compared besides all categories together, where a dataset has them."""
    entropy_bins: int = Field(default=4, ge=2)
    """Bins of equal numbers of items, by the parent's entropy, in which flips are counted."""
    verdict: Verdict = Verdict()
    floor: Floor = Floor()

    @property
    def alpha(self) -> float:
        """Level of the tests: 0.05 for a confidence of 0.95, without the float's last digits."""
        return round(1 - self.confidence, 12)


class Contrast(Frozen):
    """How compressed models are compared with uncompressed ones of the same quality."""

    quality: Literal["word_perplexity", "lm"] = "word_perplexity"
    """What two models must share to be of the same quality: the log of the held-out corpus' perplexity a word,
    or StereoSet's LM score, which saturates where items are easy."""
    resamples: int = Field(default=2000, ge=100)


def compare_of(params: Params, where: str | None = None) -> Compare:
    """The compare settings of a suite.

    Args:
        params: The suite's params.
        where: Their file, for error messages.

    Raises:
        ParamsError: A key or value is not known, or the baseline is no variant of every model.
    """
    where = where or params.params_file
    compare = parse(Compare, params.compare, f"{where}: compare")
    if compare.baseline not in params.variants:
        raise ParamsError(f"no variant {compare.baseline!r}; variants are {', '.join(params.variants)}",
                          where=f"{where}: compare.baseline")
    if params.variants[compare.baseline].only is not None:
        raise ParamsError("the baseline is the parent of all variants and must be applied to every model",
                          where=f"{where}: variants.{compare.baseline}.only")
    return compare


def contrast_of(params: Params, where: str | None = None) -> Contrast:
    """The contrast settings of a suite.

    Raises:
        ParamsError: A key or value is not known.
    """
    return parse(Contrast, params.contrast, f"{where or params.params_file}: contrast")

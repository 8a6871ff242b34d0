"""Typed settings of the compare stage, ``compare`` in params."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.common.errors import ParamsError
from stages.common.params import Frozen, Params, Slug, parse

Compared = Literal[
    "score", "ss", "lm", "log_odds", "mean_abs_effect", "effect_size", "perplexity", "word_perplexity"
]
"""Metrics that the compare stage puts intervals on (``stages.evidence``)."""


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

"""A pruning step made weaker, for the rounds before the last of a pruning that comes in several."""

from __future__ import annotations

from stages.compression.methods import heads, magnitude, random_prune, semi_structured, wanda

Prune = magnitude.Config | random_prune.Config | wanda.Config | semi_structured.Config | heads.Config
"""A step that can be applied in rounds: what it pruned once is what it prunes first again."""


def in_round(step: Prune, number: int, rounds: int) -> Prune:
    """Settings of a step in one of its rounds; the last round's are the step's own.

    A sparsity s is 1 - (1 - s)^(r / n) in round r of n, so that each round prunes the same share of what is left
    (Han et al. 2015, arXiv 1506.02626). A share of the heads, and what is counted in whole weights of a block or in
    heads, rises by equal parts, counts rounded down.

    Args:
        step: What is done in the end.
        number: Of the round, 1 to ``rounds``.
        rounds: How many there are.

    Raises:
        ValueError: There is less to count than there are rounds.
    """
    if number == rounds:
        return step
    if isinstance(step, wanda.Config) and step.block is not None:
        return _with(step, sparsity=_part(round(step.sparsity * step.block), number, rounds) / step.block)
    if isinstance(step, (magnitude.Config, random_prune.Config, wanda.Config)):
        return _with(step, sparsity=1 - (1 - step.sparsity) ** (number / rounds))
    if isinstance(step, semi_structured.Config):
        return _with(step, pruned=_part(step.pruned, number, rounds))
    if step.share is not None:
        return _with(step, share=step.share * number / rounds)
    assert step.count is not None
    return _with(step, count=_part(step.count, number, rounds))


def _part(count: int, number: int, rounds: int) -> int:
    if rounds > count:
        raise ValueError(f"{count} cannot be pruned in {rounds} rounds: each takes one at least")
    return count * number // rounds


def _with(step: Prune, **settings: float) -> Prune:
    return type(step).model_validate(step.model_dump() | settings)

"""Intervals and paired tests on per-item records: plain functions on tables, no torch."""

from __future__ import annotations

from stages.common.params import Params


def check_params(params: Params, where: str) -> None:
    """Check the settings of comparisons (called by ``load_params``)."""
    from stages.evidence.settings import compare_of, contrast_of

    compare_of(params, where)
    contrast_of(params, where)

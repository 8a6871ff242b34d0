"""Silencing what transformers prints of its own accord."""

from __future__ import annotations


def quiet() -> None:
    """Silence transformers' own reports and progress bars; what they warn of is an error here."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()

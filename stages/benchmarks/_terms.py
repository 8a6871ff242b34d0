"""Which word a bleached sentence is about: the clusters of SEAT's stimuli.

May et al. (2019) put every WEAT word into a handful of sentences that say nothing of it ("This is
a ...", "The ... are there"). Sentences of one word are no independent stimuli, so resampling
needs to know them. Upstream does not store the word; it is derived here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

_FRAME = frozenset(
    {
        "this", "that", "these", "those", "there", "here", "it", "they", "the", "a", "an",
        "is", "are", "was", "were", "will", "can", "may", "did",
        "person", "people", "thing", "things", "person's", "name",
    }
)
_PLURAL = frozenset({"these", "those", "they", "are", "were"})


def terms(texts: Sequence[str]) -> list[str]:
    """The term of each sentence of one stimulus set, in lower case; plurals join their singular.

    The term is what is left of a sentence without the frame's words at both ends (inside, they
    stay: "star and crescent"), or the whole text where nothing is left. A term that occurs in
    plural frames alone joins the set's most similar other term ("salaries" joins "salary",
    "children" joins "child"), if one is similar at all.
    """
    own = [_inside(text) for text in texts]
    singular = sorted({term for term, text in zip(own, texts, strict=True) if not _PLURAL & set(_words(text))})
    joined = {
        term: next(iter(difflib.get_close_matches(term, singular, n=1, cutoff=0.6)), term)
        for term in set(own) - set(singular)
    }
    return [joined.get(term, term) for term in own]


def _words(text: str) -> list[str]:
    return re.sub(r"[^\w\s'-]", "", text).casefold().split()


def _inside(text: str) -> str:
    words = _words(text)
    while words and words[0] in _FRAME:
        words.pop(0)
    while words and words[-1] in _FRAME:
        words.pop()
    return " ".join(words) or text

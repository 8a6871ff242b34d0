"""From queries to distinct work: each sequence once, each position of it read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise

import numpy as np

from stages.common.query import Answer, Query


@dataclass(frozen=True)
class Plan:
    """The distinct sequences behind some queries.

    A *row* is one position of one distinct sequence, where the model's distribution is
    needed; a *read* is one target looked up in a row. Queries are runs of reads.
    """

    sequences: list[tuple[int, ...]]
    """Distinct sequences of token ids, sorted by length, then by ids."""
    row_position: np.ndarray
    """Position of each row in its sequence, rising within a sequence; int64 of shape [rows]."""
    first_row: np.ndarray
    """Rows of sequence ``s`` are ``first_row[s] .. first_row[s + 1]``; int64 of shape [sequences + 1]."""
    read_row: np.ndarray
    """Row of each read; int64 of shape [reads]."""
    read_target: np.ndarray
    """Token looked up by each read; int64 of shape [reads]."""
    first_read: np.ndarray
    """Reads of query ``q`` are ``first_read[q] .. first_read[q + 1]``; int64 of shape [queries + 1]."""

    @classmethod
    def of(cls, queries: Sequence[Query]) -> Plan:
        """Deduplicate queries. The plan of a set of queries does not depend on their order, but for the reads."""
        read = [query for query in queries if query.positions]
        sequences = sorted(sorted({query.ids for query in read}), key=len)
        index = {ids: s for s, ids in enumerate(sequences)}
        counts = np.fromiter((len(query.positions) for query in queries), np.int64, len(queries))
        first_read = _offsets(counts)
        reads = int(first_read[-1])
        owner = np.repeat(np.fromiter((index[query.ids] for query in read), np.int64, len(read)), counts[counts > 0])
        places = np.fromiter(chain.from_iterable(query.positions for query in read), np.int64, reads)
        targets = np.fromiter(chain.from_iterable(query.targets for query in read), np.int64, reads)
        # One number for a sequence and a position in it sorts and deduplicates both at once.
        longest = max(map(len, sequences), default=1)
        rows, read_row = np.unique(owner * longest + places, return_inverse=True)
        first_row = np.searchsorted(rows, np.arange(len(sequences) + 1) * longest)
        return cls(sequences, rows % longest, first_row, read_row, targets, first_read)

    @property
    def rows(self) -> int:
        """Number of distinct rows."""
        return int(self.first_row[-1])

    @property
    def positions(self) -> list[np.ndarray]:
        """Positions to read in each sequence, rising; int64."""
        return [self.positions_of(s) for s in range(len(self.sequences))]

    def positions_of(self, sequence: int) -> np.ndarray:
        """Positions to read in one sequence, rising; int64."""
        return self.row_position[self.first_row[sequence] : self.first_row[sequence + 1]]

    def rows_of(self, sequences: Sequence[int]) -> np.ndarray:
        """Rows of some sequences, one after the other; int64."""
        return np.concatenate([np.arange(self.first_row[s], self.first_row[s + 1]) for s in sequences])

    def reads_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The reads of some rows, and for each the index into ``rows``; two int64 arrays."""
        order, starts = self._reads_by_row
        counts = starts[rows + 1] - starts[rows]
        local = np.repeat(np.arange(len(rows)), counts)
        within = np.arange(len(local)) - np.repeat(np.cumsum(counts) - counts, counts)
        return order[np.repeat(starts[rows], counts) + within], local

    @cached_property
    def _reads_by_row(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.read_row, kind="stable")
        return order, np.searchsorted(self.read_row[order], np.arange(self.rows + 1))


class Values:
    """What the model said to a plan, filled row by row; all float64."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.normalizers = np.full(plan.rows, np.nan)
        """Log-sum-exp of the logits of each row, in nats."""
        self.entropies = np.full(plan.rows, np.nan)
        """Entropy of each row's distribution, in nats."""
        self.logits = np.full(len(plan.read_row), np.nan)
        """Logit of each read's target."""

    def broken_sequence(self) -> tuple[int, ...] | None:
        """Ids of the first sequence with a value that is not finite, if there is one."""
        rows = ~(np.isfinite(self.normalizers) & np.isfinite(self.entropies))
        rows[self.plan.read_row[~np.isfinite(self.logits)]] = True
        if not rows.any():
            return None
        return self.plan.sequences[int(np.searchsorted(self.plan.first_row, np.argmax(rows), side="right")) - 1]

    def answers(self) -> list[Answer]:
        """The queries' answers, in their order."""
        logprobs = self.logits - self.normalizers[self.plan.read_row]
        entropies = self.entropies[self.plan.read_row]
        return [Answer(logprobs[start:end], entropies[start:end]) for start, end in pairwise(self.plan.first_read)]


def _offsets(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

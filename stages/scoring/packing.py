"""Laying sequences end to end, so that a forward pass computes no padding and no prefix twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch


@dataclass(frozen=True)
class Group:
    """The equally long sequences of a pack, which attention takes as one batch."""

    tokens: torch.Tensor
    """Index in the pack of each sequence's tokens; int64 of shape [sequences, length]."""
    start: int | None
    """First token, where the sequences lie one after the other; None where they share tokens."""


@dataclass(frozen=True)
class Pack:
    """Some sequences as one flat run of tokens."""

    members: tuple[int, ...]
    """Indices of the sequences."""
    ids: torch.Tensor
    """Token ids, int64 of shape [1, tokens]."""
    places: torch.Tensor
    """Place of each token in its sequence, from 0; int64 of shape [1, tokens]."""
    paths: tuple[np.ndarray, ...]
    """For each member, the index in the pack of each of its tokens."""
    groups: tuple[Group, ...]
    owners: torch.Tensor | None
    """Where tokens are shared: for each token, one of its occurrences in the groups laid end to end."""

    @cached_property
    def member_of_token(self) -> torch.Tensor:
        """Where nothing is shared: which member each token belongs to; int64 of shape [tokens]."""
        lengths = [len(path) for path in self.paths]
        return torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths))

    @property
    def size(self) -> int:
        """Number of tokens computed."""
        return int(self.ids.shape[1])


def packs(
    sequences: Sequence[tuple[int, ...]], token_budget: int, *, share_prefixes: bool, device: torch.device | str = "cpu"
) -> Iterator[Pack]:
    """Pack sequences up to a budget of tokens (one sequence alone may exceed it).

    Args:
        sequences: Token ids; none empty.
        token_budget: Tokens in a pack.
        share_prefixes: Compute a prefix that sequences have in common once. Only where a token's
            value does not depend on later ones. Used where it saves enough to pay for the gathering.
        device: Where the tensors are made.
    """
    if share_prefixes:
        order = sorted(range(len(sequences)), key=lambda s: sequences[s])
        if _distinct_tokens(sequences, order) < _WORTHWHILE * sum(map(len, sequences)):
            yield from _shared(sequences, order, token_budget, device)
            return
    yield from _flat(sequences, by_length(sequences), token_budget, device)


_WORTHWHILE = 0.95


def by_length(sequences: Sequence[tuple[int, ...]]) -> list[int]:
    """Indices of sequences sorted by length, then by ids."""
    return sorted(sorted(range(len(sequences)), key=sequences.__getitem__), key=lambda s: len(sequences[s]))


def _flat(
    sequences: Sequence[tuple[int, ...]], order: list[int], token_budget: int, device: torch.device | str
) -> Iterator[Pack]:
    members: list[int] = []
    size = 0
    for s in order:
        if members and size + len(sequences[s]) > token_budget:
            yield _lay_end_to_end(sequences, members, device)
            members, size = [], 0
        members.append(s)
        size += len(sequences[s])
    if members:
        yield _lay_end_to_end(sequences, members, device)


def _lay_end_to_end(
    sequences: Sequence[tuple[int, ...]], members: list[int], device: torch.device | str
) -> Pack:
    lengths = np.array([len(sequences[s]) for s in members])
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    groups = []
    for length, first in zip(*np.unique(lengths, return_index=True), strict=True):
        count = int((lengths == length).sum())
        start = int(bounds[first])
        tokens = torch.arange(start, start + count * int(length), device=device).view(count, int(length))
        groups.append(Group(tokens, start))
    return Pack(
        members=tuple(members),
        ids=torch.tensor([[token for s in members for token in sequences[s]]], device=device),
        places=torch.from_numpy(np.arange(bounds[-1]) - np.repeat(bounds[:-1], lengths))[None].to(device),
        paths=tuple(np.arange(start, start + length) for start, length in zip(bounds[:-1], lengths, strict=True)),
        groups=tuple(groups),
        owners=None,
    )


def _shared(
    sequences: Sequence[tuple[int, ...]], order: list[int], token_budget: int, device: torch.device | str
) -> Iterator[Pack]:
    """Pack the prefix tree of sequences in lexicographic order, a stretch of it at a time."""
    members: list[int] = []
    size = 0
    for before, s in zip([None, *order], order, strict=False):
        shared = _common_prefix(sequences[before], sequences[s]) if before is not None and members else 0
        if members and size + len(sequences[s]) - shared > token_budget:
            yield _lay_as_tree(sequences, members, device)
            members, size, shared = [], 0, 0
        members.append(s)
        size += len(sequences[s]) - shared
    if members:
        yield _lay_as_tree(sequences, members, device)


def _lay_as_tree(sequences: Sequence[tuple[int, ...]], members: list[int], device: torch.device | str) -> Pack:
    ids: list[int] = []
    places: list[int] = []
    paths: list[np.ndarray] = []
    for k, s in enumerate(members):
        shared = _common_prefix(sequences[members[k - 1]], sequences[s]) if k else 0
        own = np.arange(len(ids), len(ids) + len(sequences[s]) - shared)
        paths.append(np.concatenate([paths[-1][:shared], own]) if shared else own)
        ids.extend(sequences[s][shared:])
        places.extend(range(shared, len(sequences[s])))
    lengths = np.array([len(path) for path in paths])
    grouped = [np.stack([paths[k] for k in np.flatnonzero(lengths == length)]) for length in np.unique(lengths)]
    # Among the occurrences of a token the last written wins; all have the same value up to float noise.
    occurrences = np.concatenate([tokens.ravel() for tokens in grouped])
    owners = np.empty(len(ids), dtype=np.int64)
    owners[occurrences] = np.arange(len(occurrences))
    return Pack(
        members=tuple(members),
        ids=torch.tensor([ids], device=device),
        places=torch.tensor([places], device=device),
        paths=tuple(paths),
        groups=tuple(Group(torch.from_numpy(tokens).to(device), None) for tokens in grouped),
        owners=torch.from_numpy(owners).to(device),
    )


def _distinct_tokens(sequences: Sequence[tuple[int, ...]], order: list[int]) -> int:
    """Nodes of the prefix tree of sequences given in lexicographic order."""
    total = 0
    before: tuple[int, ...] = ()
    for s in order:
        total += len(sequences[s]) - _common_prefix(before, sequences[s])
        before = sequences[s]
    return total


def _common_prefix(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    for place, (one, two) in enumerate(zip(first, second, strict=False)):
        if one != two:
            return place
    return min(len(first), len(second))

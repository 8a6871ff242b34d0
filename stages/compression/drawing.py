"""Random numbers of a method: one stream a tensor, so that no tensor's draw depends on another's."""

from __future__ import annotations

import hashlib

import torch


def generator(seed: int, name: str) -> torch.Generator:
    """A generator seeded by a seed and the name of what is drawn for."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))

"""Which state of the repository the metrics at hand belong to."""

from __future__ import annotations

import subprocess
from pathlib import Path


def git_tags(root: Path) -> dict[str, str]:
    """Tags ``git.commit``, ``git.branch`` (``HEAD`` when detached) and ``git.dirty``; none outside a repository."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return {}
    return {
        "git.commit": commit,
        "git.branch": _git(root, "rev-parse", "--abbrev-ref", "HEAD") or "",
        "git.dirty": "true" if _git(root, "status", "--porcelain") else "false",
    }


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    except (subprocess.CalledProcessError, FileNotFoundError):
        return None
    return done.stdout.strip()

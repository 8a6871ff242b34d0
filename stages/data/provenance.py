"""``provenance.json``: what each raw file is, and the facts that its benchmark's checks hold it to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stages.common.files import sha256_file


def write_provenance(folder: Path, **content: Any) -> None:
    """Write ``provenance.json`` into a folder that is being filled: the same content, the same bytes."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (folder / "provenance.json").write_text(text + "\n", encoding="utf-8")


def describe_file(path: Path) -> dict[str, Any]:
    """Size and hash of a file, as ``provenance.json`` gives them."""
    return {"bytes": path.stat().st_size, "sha256": sha256_file(path)}

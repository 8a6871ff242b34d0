"""Small StereoSet files for tests, in upstream's structure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from stages.benchmarks.stereoset import read

LABELS = ("stereotype", "anti-stereotype", "unrelated")


def example(context: str, *fillers: str, target: str = "nurse", category: str = "profession", name: str = "e0",
            sentences: tuple[str, ...] = ()) -> dict[str, Any]:
    texts = sentences or tuple(context.replace("BLANK", word) for word in fillers)
    return {
        "id": name, "target": target, "bias_type": category, "context": context,
        "sentences": [{"id": f"{name}-{label}", "sentence": text, "labels": [], "gold_label": label}
                      for label, text in zip(LABELS, texts, strict=True)],
    }


def document(*intrasentence: dict[str, Any], intersentence: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {"version": "1", "data": {"intersentence": list(intersentence), "intrasentence": list(intrasentence)}}


def table_of(folder: Path, content: Any) -> pd.DataFrame:
    (folder / "test.json").write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read(folder, {})


SIMPLE = example("the nurse is BLANK.", "kind", "cruel", "soup")
NEXT = example("the nurse likes soup.", name="n0", sentences=("she is kind.", "she is cruel.", "cats purr."))

"""A planted world as files in the upstream formats, so that the readers of real data read it too."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stages.common.errors import ParamsError
from stages.common.params import choose, parse
from stages.lab import grammar
from stages.lab.items import BLANK, Pair, Triple, associations, control_pairs, control_triples, pairs, triples
from stages.lab.vocabularies import KINDS
from stages.lab.world import World

_SENTENCES = ("sent_more", "sent_less", "stereo_antistereo", "bias_type")
_COLUMNS = ("", *_SENTENCES, "annotations", "anon_writer", "anon_annotators")
_UPSTREAM_KIND = {"race": "race-color"}


def write_dataset(world_config: dict[str, Any], benchmark: str, folder: Path) -> dict[str, Any]:
    """Write one dataset of a planted world.

    Args:
        world_config: Settings of a ``World``.
        benchmark: ``crows_pairs``, ``stereoset``, ``seat`` or ``corpus``.
        folder: Existing folder to write the files to.

    Returns:
        Facts about the files, with the keys that the manifests of the real datasets use, and
        ``planted``: the log-odds planted for each kind of group.

    Raises:
        ParamsError: Settings that no world has, or a benchmark the lab cannot make.
    """
    world = parse(World, world_config, "world")
    try:
        write = choose(_WRITERS, benchmark, "benchmark of the lab")
    except ParamsError as error:
        raise ParamsError(error.what, where="source lab:") from None
    planted = {kind: round(world.association(kind).log_odds, 6) for kind in KINDS}
    return {**write(world, folder), "planted": planted}


def _write_crows_pairs(world: World, folder: Path) -> dict[str, Any]:
    found: dict[str, list[Pair]] = {kind: pairs(world, kind) for kind in KINDS}
    if world.items.controls:
        found |= {f"{kind}-control": control_pairs(world, kind) for kind in KINDS}
    rows = [(category, pair) for category, members in found.items() for pair in members]
    counts = {category: Counter(pair.direction for pair in members) for category, members in found.items()}
    with (folder / "crows_pairs_anonymized.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for index, (category, pair) in enumerate(rows):
            label = _UPSTREAM_KIND.get(category, category)
            writer.writerow((index, pair.more, pair.less, pair.direction, label, f"[['{label}']]", "a0", "['a0']"))
    return {
        "rows": len(rows),
        "pairs": {category: dict(counted) for category, counted in counts.items()},
        "duplicate_pairs": [],
        "insertion_pairs": [],
        "changed_words": {"1": len(rows)},
    }


def _write_stereoset(world: World, folder: Path) -> dict[str, Any]:
    found: dict[str, list[Triple]] = {kind: triples(world, kind) for kind in KINDS}
    if world.items.controls:
        found |= {f"{kind}-control": control_triples(world, kind) for kind in KINDS}
    items = [_item(category, triple) for category, members in found.items() for triple in members]
    document = {"version": "planted", "data": {"intersentence": [], "intrasentence": items}}
    _write_json(folder / "test.json", document)
    return {
        "items": {"intrasentence": {category: len(members) for category, members in found.items()}},
        "targets": {
            "intrasentence": {category: len({triple.target for triple in members})
                              for category, members in found.items()}
        },
        "null_ids": 0,
        "two_blanks": [],
    }


def _item(category: str, triple: Triple) -> dict[str, Any]:
    words = {
        "stereotype": triple.stereotype,
        "anti-stereotype": triple.anti_stereotype,
        "unrelated": triple.unrelated,
    }
    item_id = _id(triple.context, *words.values())
    sentences = [
        {
            "sentence": triple.context.replace(BLANK, word),
            "id": _id(item_id, label),
            "labels": [],
            "gold_label": label,
        }
        for label, word in words.items()
    ]
    return {
        "id": item_id,
        "target": triple.target,
        "bias_type": category,
        "context": triple.context,
        # Upstream's order says nothing of the label; neither does that of the ids.
        "sentences": sorted(sentences, key=lambda entry: str(entry["id"])),
    }


def _id(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _write_seat(world: World, folder: Path) -> dict[str, Any]:
    tests = {}
    for kind in KINDS:
        for test in associations(world, kind):
            keys = ("targ1", "targ2", "attr1", "attr2")
            entries = {
                key: {"category": name, "examples": texts}
                for key, name, texts in zip(keys, test.set_names, test.sets, strict=True)
            }
            _write_json(folder / f"{test.name}.jsonl", entries)
            sizes = {role: len(texts) for role, texts in zip("XYAB", test.sets, strict=True)}
            tests[test.name] = {"category": kind, **sizes}
    return {"tests": tests}


def _write_corpus(world: World, folder: Path) -> dict[str, Any]:
    splits = {}
    for split in ("train", "valid", "test"):
        lines = grammar.corpus(world, split, getattr(world.sentences, split))
        (folder / f"{split}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        words = [line.split() for line in lines]
        splits[split] = {
            "lines": len(lines),
            "blank_lines": 0,
            # An end mark a line counts as a token and as a type.
            "tokens": sum(len(line) + 1 for line in words),
            "types": len({word for line in words for word in line}) + 1,
        }
    return {"splits": splits}


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


_WRITERS: dict[str, Callable[[World, Path], dict[str, Any]]] = {
    "crows_pairs": _write_crows_pairs,
    "stereoset": _write_stereoset,
    "seat": _write_seat,
    "corpus": _write_corpus,
}

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
from stages.lab.items import BLANK, Triple, associations, pairs, triples
from stages.lab.vocabularies import KINDS
from stages.lab.world import World

_SENTENCES = ("sent_more", "sent_less", "stereo_antistereo", "bias_type")
_COLUMNS = ("", *_SENTENCES, "annotations", "anon_writer", "anon_annotators")
_UPSTREAM_KIND = {"gender": "gender", "race": "race-color", "religion": "religion"}


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
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    rows = [pair for kind in KINDS for pair in pairs(world, kind)]
    with (folder / "crows_pairs_anonymized.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for index, pair in enumerate(rows):
            label = _UPSTREAM_KIND[pair.kind]
            writer.writerow((index, pair.more, pair.less, pair.direction, label, f"[['{label}']]", "a0", "['a0']"))
            counts[pair.kind][pair.direction] += 1
    return {
        "rows": len(rows),
        "pairs": {kind: dict(counts[kind]) for kind in KINDS},
        "duplicate_pairs": [],
        "insertion_pairs": [],
        "changed_words": {"1": len(rows)},
    }


def _write_stereoset(world: World, folder: Path) -> dict[str, Any]:
    found = {kind: triples(world, kind) for kind in KINDS}
    document = {
        "version": "planted",
        "data": {"intersentence": [], "intrasentence": [_item(triple) for kind in KINDS for triple in found[kind]]},
    }
    _write_json(folder / "test.json", document)
    return {
        "items": {"intrasentence": {kind: len(found[kind]) for kind in KINDS}},
        "targets": {"intrasentence": {kind: len({triple.target for triple in found[kind]}) for kind in KINDS}},
        "null_ids": 0,
        "two_blanks": [],
    }


def _item(triple: Triple) -> dict[str, Any]:
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
        "bias_type": triple.kind,
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

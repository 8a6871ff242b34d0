"""The bench: the shape of what it writes and says, on tiny models."""

import json
import sys

import pytest

from stages.bench import __main__ as command
from stages.bench import comparison, compressing, measure, subjects
from stages.bench.comparison import bench
from stages.bench.goals import goals
from stages.bench.measure import Effort
from stages.bench.subjects import Subject
from stages.bench.text import render, row_line
from stages.common.errors import ParamsError

TINY = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 400,
        "max_position_embeddings": 64}  # fmt: skip

COMPRESSION = {"model": "tiny", "method": "wanda", "seconds": 1.0, "against": "torch", "against_seconds": 2.0,
               "ratio": 0.5, "goal": 1.5, "holds": True}


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    (folder / "crows_pairs").mkdir(parents=True)
    lines = [",sent_more,sent_less,stereo_antistereo,bias_type"]
    lines += [f"{k},she is a nurse,he is a nurse,stereo,gender" for k in range(4)]
    (folder / "crows_pairs" / "crows_pairs_anonymized.csv").write_text("\n".join(lines) + "\n")
    labels = {"stereotype": "she is a nurse", "anti-stereotype": "she is a kind", "unrelated": "she is a John"}
    sentences = [{"sentence": text, "gold_label": label, "id": label} for label, text in labels.items()]
    item = {"id": "1", "bias_type": "gender", "target": "she", "context": "she is a BLANK", "sentences": sentences}
    (folder / "stereoset").mkdir()
    (folder / "stereoset" / "dev.json").write_text(
        json.dumps({"version": "1", "data": {"intrasentence": [item], "intersentence": []}}))
    sets = {"targ1": ["this is John"], "targ2": ["this is Amy"], "attr1": ["people are kind"], "attr2": ["a nurse"]}
    (folder / "seat").mkdir()
    (folder / "seat" / "sent-weat6.jsonl").write_text(
        json.dumps({key: {"category": key, "examples": texts} for key, texts in sets.items()}))
    return folder


def test_what_is_written(data, tmp_path, monkeypatch, capsys):
    tiny = (Subject("tiny-bert", "bert", "masked", TINY), Subject("tiny-neox", "gpt_neox", "causal", TINY))
    monkeypatch.setattr(subjects, "SUBJECTS", tiny)
    monkeypatch.setattr(measure, "QUICK", Effort(
        repeats=1, slow_rows=4, engine_rows=8, growth_rows=1, agreement_rows={"fp32": 8, "int8": 8},
        agreement_passes=0, exact_rows=2, stage_rows=8))
    monkeypatch.setattr(compressing, "compare_methods", lambda quick, threads: [COMPRESSION])
    out = tmp_path / "bench.json"
    monkeypatch.setattr(sys, "argv", ["bench", "--quick", "--data", str(data), "--out", str(out)])
    command.main()
    found = json.loads(out.read_text())
    assert len(found["rows"]) == 2 * 2 * 3 * 3  # models, precisions, benchmarks, sides
    assert set(found["rows"][0]) == {"model", "precision", "benchmark", "side", "items", "seconds", "items_per_s",
                                     "peak_share", "rss_bytes"}
    assert all(entry["seconds"] > 0 and entry["rss_bytes"] > 1 << 20 for entry in found["rows"])
    assert {ratio["against"] for ratio in found["ratios"]} == {"batch1", "padded32", "fp32 engine"}
    assert [point["factor"] for point in found["growth"]] == [1, 4, 16] * 4
    assert [point["ratio"] for point in found["growth"] if point["factor"] == 1] == [1.0] * 4
    assert len(found["agreement"]) == 2 * 2 * 3
    assert all(entry["off"] == 0 and not entry["unequal"] for entry in found["agreement"])
    assert {entry["stage"]: entry["torch"] for entry in found["stages"]} == {"measure": False, "compare": False}
    assert {"cpu", "cores", "torch", "instructions"} < set(found["machine"])
    assert found["machine"]["threads"] == found["threads"] == 1
    (memory,) = found["memory"]
    assert memory["model_bytes"] < memory["rss_bytes"] < memory["limit_bytes"]
    assert found["compression"] == [COMPRESSION]
    checked = {entry["goal"] for entry in found["goals"]}
    assert "tiny-bert fp32 crows_pairs: difference to float64" in checked
    assert "stages.measure of one model, seconds" in checked
    assert "tiny-bert fp32 stereoset: metrics printed otherwise" in " ".join(checked)
    printed, progress = capsys.readouterr()
    assert printed.startswith(f"machine: {found['machine']['cpu']}")
    assert "items per CPU second" in printed
    assert "items/s of the engine over" in printed
    assert "tiny-bert fp32 crows_pairs: 8 of 8 items, largest difference" in printed
    assert "peak RSS: of this process" in printed
    # Each row was shown before the tables.
    rows = [row_line(row) for row in found["rows"]]
    assert [line for line in progress.splitlines() if line in rows] == rows
    # The table has the three sides of a benchmark in one line.
    slow, _, engine = found["rows"][:3]
    line = next(line for line in printed.splitlines() if line.startswith("tiny-bert    fp32  crows_pairs"))
    numbers = line.split()[3:]
    assert [len(numbers), numbers[0], numbers[2]] == [11, f"{slow['items_per_s']:.1f}", f"{engine['items_per_s']:.1f}"]
    assert numbers[3::2] == [f"{slow['peak_share']:.0%}", f"{engine['peak_share']:.0%}",
                             f"{found['rows'][1]['rss_bytes'] / 2**20:.0f}", str(slow["items"])]


def test_memory_of_a_row_is_that_of_a_process_of_its_own(data, monkeypatch):
    def of_children(folder, family, precision, sides, rows, about):
        return [about | {"precision": precision, "side": side, "rss_bytes": 1000 * len(precision + side),
                         "model_bytes": 1, "limit_bytes": None} for side in sides]

    monkeypatch.setattr(subjects, "SUBJECTS", (Subject("tiny-bert", "bert", "masked", TINY),))
    monkeypatch.setattr(measure, "FULL", Effort(
        repeats=1, slow_rows=2, engine_rows=2, growth_rows=1, agreement_rows={"fp32": 2, "int8": 2},
        agreement_passes=0, exact_rows=1, stage_rows=4))
    monkeypatch.setattr(comparison, "measure_memory", of_children)
    monkeypatch.setattr(compressing, "compare_methods", lambda quick, threads: [COMPRESSION])
    result = bench(data, quick=False, threads=1)
    assert len(result["rows"]) == 2 * 3 * 3
    assert all(row["rss_bytes"] == 1000 * len(row["precision"] + row["side"]) for row in result["rows"])
    assert "peak RSS: of a process of its own" in render(result)


def test_a_model_that_there_is_not(data):
    with pytest.raises(ParamsError, match="unknown model 'typo'; there are: bert-base, pythia-70m, roberta-base"):
        bench(data, quick=True, threads=1, models=["bert-base", "typo"])


def test_goals_that_are_missed_say_so():
    result = {key: [] for key in ("rows", "growth", "agreement", "stages", "memory")}
    result["compression"] = [COMPRESSION | {"ratio": 1.6}]
    result["ratios"] = [{"model": "bert-base", "precision": "fp32", "against": "batch1", "all": 9.9}]
    result["growth"] = [{"model": "m", "precision": "fp32", "factor": 16, "ratio": 17.0}]
    slow, linear, compressing_slowly = goals(result)
    assert (slow["measured"], slow["at_least"], slow["holds"]) == (9.9, 10.0, False)
    assert (linear["at_most"], linear["holds"]) == (17.0, True)
    assert (compressing_slowly["measured"], compressing_slowly["holds"]) == (1.6, False)

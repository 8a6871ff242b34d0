"""The bench: its count of needed work by hand, and the shape of what it writes, on tiny models."""

import json
import sys

import pytest

from stages.bench import __main__ as command
from stages.bench import compressing, measure, subjects
from stages.bench.goals import goals
from stages.bench.measure import Effort, sample
from stages.bench.subjects import Subject, build
from stages.bench.work import needed
from stages.common.errors import DataError
from stages.common.query import Query, Row

TINY = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 400,
        "max_position_embeddings": 64}  # fmt: skip
TEXTS = ["she is a nurse", "he is a nurse", "this is Amy", "this is John", "people are kind"]
LAYER = 4 * 16 * 16 + 2 * 16 * 32  # weights


COMPRESSION = {"model": "tiny", "method": "wanda", "seconds": 1.0, "against": "torch", "against_seconds": 2.0,
               "ratio": 0.5, "goal": 1.5, "holds": True}


def row(*queries, sequence=()):
    return Row("0", "gender", "he|she", "stereo", "text", 4, queries=queries, sequence=sequence)


def test_work_of_a_masked_model_by_hand():
    loaded = build(Subject("tiny", "bert", "masked", TINY), TEXTS)
    query = Query((5, 6, 7, 8), (2,), (9,))
    need = needed(loaded, [row(query), row(query)])
    assert need.tokens == 4
    whole = 2 * 4 * LAYER + 4 * 4 * 4 * 16  # 4 tokens attend to 4: two products of 2 * 16 operations each
    keys = 4 * 4 * 16 * 16
    head = 2 * (16 * 16 + 16 * 400)
    assert need.flop == 2 * whole + keys + (whole - keys) / 4 + head


def test_work_of_a_causal_model_counts_shared_prefixes_once():
    loaded = build(Subject("tiny", "gpt_neox", "causal", TINY), TEXTS)
    queries = [Query((5, 6, 7), (0, 1), (6, 7)), Query((5, 6, 8), (0, 1), (6, 8))]
    assert needed(loaded, [row(*queries)]).tokens == 2  # what follows the last read is not needed
    assert needed(loaded, [row(sequence=(5, 6, 7)), row(sequence=(5, 6, 8))]).tokens == 4


def test_sample_is_spread_evenly():
    assert sample(list(range(10)), 3) == [0, 3, 6]
    assert sample(list(range(3)), 10) == [0, 1, 2]


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
        repeats=1, slow_rows=4, engine_rows=8, growth_rows=1, agreement_rows={"fp32": 8, "int8": 8}, exact_rows=2,
        stage_rows=8))
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
    (memory,) = found["memory"]
    assert memory["model_bytes"] < memory["rss_bytes"] < memory["limit_bytes"]
    assert found["compression"] == [COMPRESSION]
    checked = {entry["goal"] for entry in found["goals"]}
    assert "tiny-bert fp32 crows_pairs: difference to float64" in checked
    assert "stages.measure of one model, seconds" in checked
    assert "engine against" in capsys.readouterr().out


def test_goals_that_are_missed_say_so():
    result = {key: [] for key in ("rows", "growth", "agreement", "stages", "memory")}
    result["compression"] = [COMPRESSION | {"ratio": 1.6}]
    result["ratios"] = [{"model": "bert-base", "precision": "fp32", "against": "batch1", "all": 9.9}]
    result["growth"] = [{"model": "m", "precision": "fp32", "factor": 16, "ratio": 17.0}]
    slow, linear, compressing_slowly = goals(result)
    assert (slow["measured"], slow["at_least"], slow["holds"]) == (9.9, 10.0, False)
    assert (linear["at_most"], linear["holds"]) == (17.0, True)
    assert (compressing_slowly["measured"], compressing_slowly["holds"]) == (1.6, False)


def test_data_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bench", "--quick"])
    monkeypatch.delenv("BENCHMARK_MIRROR", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"make repro SUITE=mini.*set BENCHMARK_MIRROR"):
        command.main()
    (tmp_path / "data/raw/mini").mkdir(parents=True)
    with pytest.raises(DataError, match=r"data/raw/mini: holds neither crows_pairs\.parquet"):
        command.main()
    with pytest.raises(DataError, match=r"holds neither crows_pairs\.parquet nor crows_pairs/"):
        command.bench(tmp_path, quick=True, threads=1)

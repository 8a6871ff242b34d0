from __future__ import annotations

import numpy as np
import pytest

from stages import measures
from stages.common.errors import ParamsError
from stages.evidence.metrics import measured
from tests.evidence.synthetic import frame, world


def value(rule, name, items):
    metric = next(metric for metric in rule.metrics if metric.name == name)
    return float(metric.of_mean(metric.totals(items).means()[0]))


def with_ties(records, step):
    return records.assign(score=(records["score"] / step).round() * step)


@pytest.mark.parametrize("family", ["masked", "causal"])
@pytest.mark.parametrize("ties", ["non_stereotype", "half", "exclude"])
def test_pair_values_are_the_measures_own(family, ties):
    module = measures.get("pair_preference")
    options = module.Options(ties=ties)
    records = with_ties(world(1)["crows_pairs"], 0.0004)  # ties at 3 decimals that are none unrounded
    printed = module.measure(records, options, family=family)
    rule = measured("pair_preference", options, family)
    items = rule.items(records)
    for category in ("gender", "race", "religion", "age"):
        of = items[items["category"] == category]
        assert value(rule, "score", of) == pytest.approx(printed[category]["score_unrounded"])
        assert value(rule, "log_odds", of) == pytest.approx(printed[category]["log_odds"])
    assert value(rule, "score", items) == pytest.approx(printed["overall"]["score_unrounded"])


@pytest.mark.parametrize("average", ["macro", "micro"])
@pytest.mark.parametrize("ties", ["anti", "half"])
def test_triple_values_are_the_measures_own(average, ties):
    module = measures.get("stereotype_triples")
    options = module.Options(average=average, ties=ties)
    records = with_ties(world(2)["stereoset_dev"], 0.02)
    printed = module.measure(records, options, family="masked")
    rule = measured("stereotype_triples", options, "masked")
    items = rule.items(records)
    assert (items["score_stereo"] == items["score_anti"]).any()
    for category, of in [*items.groupby("category"), ("overall", items)]:
        for name in ("ss", "lm", "log_odds"):
            assert value(rule, name, of) == pytest.approx(printed[category][name]), (category, name)


def test_perplexities_are_the_measures_own():
    module = measures.get("language_model")
    records = world(3)["corpus"]
    records["words"] -= 1
    printed = module.measure(records, module.Options(), family="causal")["test"]
    rule = measured("language_model", module.Options(), "causal")
    for name in ("perplexity", "word_perplexity"):
        assert value(rule, name, rule.items(records)) == pytest.approx(printed[name])


def test_a_measure_without_items_is_refused():
    with pytest.raises(ParamsError, match="association"):
        measured("association", None, "masked")


def test_macro_score_by_hand():
    # Term a: stereotype preferred in 2 of 2; term b in 0 of 1; term c in 1 of 2. SS = (100 + 0 + 50) / 3 = 50.
    def triple(item, cluster, scores):
        return [{"item": item, "cluster": cluster, "role": role, "score": score, "logprob": np.log(score)}
                for role, score in zip(("stereo", "anti", "unrelated"), scores, strict=True)]

    records = frame([*triple("1", "a", (0.5, 0.4, 0.1)), *triple("2", "a", (0.5, 0.4, 0.6)),
                     *triple("3", "b", (0.2, 0.3, 0.1)), *triple("4", "c", (0.2, 0.3, 0.25)),
                     *triple("5", "c", (0.3, 0.2, 0.1))])
    rule = measured("stereotype_triples", measures.get("stereotype_triples").Options(), "masked")
    items = rule.items(records)
    assert value(rule, "ss", items) == pytest.approx(50.0)
    # Related: a 2 + 0 of 4, b 2 of 2, c 1 + 2 of 4. LM = (50 + 100 + 75) / 3 = 75.
    assert value(rule, "lm", items) == pytest.approx(75.0)

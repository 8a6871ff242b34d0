"""What published systems did is there to copy: params accept every variant of suites/published.yaml."""

from pathlib import Path

import pytest
import yaml

from stages.common.params import Variant, parse
from stages.compression import names, parse_variant

VARIANTS = yaml.safe_load((Path(__file__).parents[1] / "suites/published.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("slug", VARIANTS)
def test_a_published_variant_is_one_here(slug):
    spec = parse(Variant, VARIANTS[slug], slug)
    steps = parse_variant(spec.recipe, slug)
    assert [step.method for step in steps] == [VARIANTS[slug]["method"]]


def test_only_what_no_published_system_did_is_missing():
    # Controls, what spells out the silent choices of int8, and what nobody has held against bias yet.
    own = {"none", "noise", "random_init", "early", "dynamic", "low_rank", "semi_structured"}
    assert {variant["method"] for variant in VARIANTS.values()} == set(names()) - own

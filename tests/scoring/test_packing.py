"""Packs: every sequence can be read back from the tokens computed, and shared prefixes are computed once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from stages.scoring.packing import packs

SEQUENCES = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=7).map(tuple), min_size=1, max_size=25)


@settings(max_examples=60, deadline=None)
@given(sequences=SEQUENCES, budget=st.integers(1, 40), share=st.booleans())
def test_every_sequence_is_in_one_pack_at_its_path(sequences, budget, share):
    seen = []
    for pack in packs(sequences, budget, share_prefixes=share):
        seen += pack.members
        assert pack.size <= budget or len(pack.members) == 1
        for s, path in zip(pack.members, pack.paths, strict=True):
            assert tuple(pack.ids[0, path].tolist()) == sequences[s]
            assert pack.places[0, path].tolist() == list(range(len(sequences[s])))
        lengths = sorted(len(sequences[s]) for s in pack.members)
        assert [group.tokens.shape[1] for group in pack.groups] == sorted(set(lengths))
        assert sum(group.tokens.shape[0] for group in pack.groups) == len(pack.members)
        if pack.owners is not None:
            occurrences = [token for group in pack.groups for token in group.tokens.flatten().tolist()]
            assert [occurrences[owner] for owner in pack.owners.tolist()] == list(range(pack.size))
    assert sorted(seen) == list(range(len(sequences)))


def test_a_prefix_tree_is_computed_once():
    # Distinct prefixes of the three: 1, 12, 123, 124, 1245, 15 -> 6 tokens for 3 + 4 + 2.
    (pack,) = packs([(1, 2, 3), (1, 2, 4, 5), (1, 5)], 100, share_prefixes=True)
    assert pack.size == 6


def test_sharing_that_saves_nothing_is_left():
    (pack,) = packs([(1, 2), (3, 4)], 100, share_prefixes=True)
    assert pack.owners is None
    assert pack.member_of_token.tolist() == [0, 0, 1, 1]

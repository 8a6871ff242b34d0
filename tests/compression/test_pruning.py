"""Pruning against torch.nn.utils.prune and slow loops."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from stages.common.errors import MethodError, ParamsError
from stages.compression import Context, parse_variant
from stages.compression.drawing import generator
from stages.compression.methods import magnitude, random_prune, semi_structured, wanda
from stages.compression.pruning import lowest, lowest_in_rows, prune_count


def linears(model):
    return {name: module for name, module in model.named_modules()
            if type(module) is nn.Linear and ".layer." in name}


def config(module, **settings):
    return module.Config(method=module.__name__.rpartition(".")[2], **settings)


def pruned(subject, module, **settings):
    module.compress(subject, config(module, **settings), Context())
    return subject.model


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.333, 0.9])
def test_magnitude_by_matrix_is_torchs_l1_unstructured(sparsity, subject):
    ours, reference = pruned(subject("bert"), magnitude, sparsity=sparsity), subject("bert").model
    for name, linear in linears(reference).items():
        prune.l1_unstructured(linear, "weight", amount=sparsity)
        assert torch.equal(ours.get_submodule(name).weight, linear.weight), name
        elements = linear.weight.numel()
        assert int((ours.get_submodule(name).weight == 0).sum()) == round(sparsity * elements)


def test_global_magnitude_is_torchs_global_unstructured(subject):
    ours, reference = pruned(subject("bert"), magnitude, sparsity=0.4, granularity="global"), subject("bert").model
    chosen = linears(reference)
    prune.global_unstructured([(linear, "weight") for linear in chosen.values()], prune.L1Unstructured, amount=0.4)
    shares = set()
    for name, linear in chosen.items():
        assert torch.equal(ours.get_submodule(name).weight, linear.weight), name
        shares.add(float((linear.weight == 0).float().mean()))
    assert len(shares) > 1


def test_embeddings_norms_and_biases_are_untouched(subject):
    before, after = subject("bert").model, pruned(subject("bert"), magnitude, sparsity=0.5)
    touched = {name for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True)
               if not torch.equal(old, new)}
    assert touched == {f"{name}.weight" for name in linears(before)}


QUERY_KEY_VALUE = ("query", "key", "value", "query_key_value", "c_attn", "Wqkv", "q_proj", "k_proj", "v_proj")


def chosen_by_hand(model, scope, embeddings, norms):
    """The modules of LPF's `attention` (query, key, value, pooler) or of the layers, with embeddings or norms."""
    wanted = []
    for name, module in model.named_modules():
        leaf = name.rpartition(".")[2]
        if scope == "attention":
            mapped = leaf in QUERY_KEY_VALUE
        else:
            mapped = type(module).__name__ in ("Linear", "Conv1D") and any(
                part in name for part in (".layer.", ".layers.", ".h."))
        norm = norms and isinstance(module, nn.LayerNorm)
        if mapped or norm or (embeddings and isinstance(module, nn.Embedding)):
            wanted.append(name)
    return wanted


@pytest.mark.parametrize(("scope", "embeddings", "norms"), [
    ("attention", False, False), ("layers", True, False), ("layers", False, True), ("attention", True, True),
])
@pytest.mark.parametrize("granularity", ["matrix", "global"])
@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt_neox", "gpt2", "modernbert", "gpt_neo"])
def test_what_is_asked_for_is_pruned_as_torch_does_it_and_nothing_else(
    kind, granularity, scope, embeddings, norms, subject
):
    reference = subject(kind).model
    names = chosen_by_hand(reference, scope, embeddings, norms)
    modules = [(reference.get_submodule(name), "weight") for name in names]
    expected = {name: value.detach().clone() for name, value in reference.named_parameters()}
    if granularity == "global":
        prune.global_unstructured(modules, prune.L1Unstructured, amount=0.4)
    else:
        for module, _ in modules:
            prune.l1_unstructured(module, "weight", amount=0.4)
    expected |= {f"{name}.weight": reference.get_submodule(name).weight for name in names}
    assert len(names) >= (2 if kind == "gpt_neo" else 3)
    ours = subject(kind)
    pruned(ours, magnitude, sparsity=0.4, granularity=granularity, scope=scope, embeddings=embeddings, norms=norms)
    for name, value in ours.model.named_parameters():
        assert torch.equal(value, expected[name]), name
    assert ours.changed == {f"{name}.weight" for name in names}


def test_attention_is_with_its_pooler(subject, tmp_path):
    from transformers import BertConfig, BertModel

    from stages.compression.scopes import linear_maps

    small = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    assert [name for name, _ in linear_maps(BertModel(small), "bert", "attention", tmp_path)] == [
        "encoder.layer.0.attention.self.query", "encoder.layer.0.attention.self.key",
        "encoder.layer.0.attention.self.value", "pooler.dense"]
    with pytest.raises(MethodError, match=r"values of architecture 'albert' are not known.*gpt_neox"):
        list(linear_maps(BertModel(small), "albert", "attention", tmp_path))


def test_random_prune_reaches_embeddings_norms_and_attention_alone(subject):
    before = subject("gpt_neox").model
    after = pruned(subject("gpt_neox"), random_prune, sparsity=0.25, scope="attention", embeddings=True, norms=True)
    names = chosen_by_hand(before, "attention", True, True)
    for name, value in after.named_parameters():
        old = before.get_parameter(name)
        if name.removesuffix(".weight") in names and name.endswith(".weight"):
            lots = torch.rand(value.shape, generator=generator(0, name))
            gone = torch.zeros(value.numel(), dtype=torch.bool)
            gone[lots.flatten().argsort()[: round(0.25 * value.numel())]] = True
            assert torch.equal(value, old.masked_fill(gone.view(value.shape), 0.0)), name
        else:
            assert torch.equal(value, old), name


def test_matrix_by_matrix_no_two_matrices_are_copied_at_once(subject, monkeypatch):
    """What ``Matrix.get`` hands out is let go before the next is asked for."""
    import weakref

    from stages.compression.subject import Matrix

    alive, most, get = [], [], Matrix.get

    def watched(matrix):
        most.append(sum(reference() is not None for reference in alive))
        value = get(matrix)
        alive.append(weakref.ref(value))
        return value

    monkeypatch.setattr(Matrix, "get", watched)
    pruned(subject("bert"), magnitude, sparsity=0.5)
    assert len(most) == 18
    # The one before is still named when the next is made.
    assert max(most) <= 1


def test_lowest_settles_ties_by_position():
    assert lowest(torch.tensor([2.0, 1.0, 1.0, 1.0, 0.5]), 3).tolist() == [False, True, True, False, True]
    rows = torch.tensor([[1.0, 1.0, 1.0], [3.0, 2.0, 1.0]])
    assert lowest_in_rows(rows, 2).tolist() == [[True, True, False], [False, True, True]]


def test_random_prune_is_a_seeded_lot(subject):
    first, again = (pruned(subject("bert"), random_prune, sparsity=0.3) for _ in range(2))
    other = pruned(subject("bert"), random_prune, sparsity=0.3, seed=1)
    shared = []
    for name, linear in linears(first).items():
        zeros = linear.weight == 0
        assert int(zeros.sum()) == round(0.3 * zeros.numel())
        assert torch.equal(linear.weight, again.get_submodule(name).weight)
        shared.append(float((zeros & (other.get_submodule(name).weight == 0)).float().mean()))
    # Two independent lots of 30% share 9% of the places: over 18 matrices of 1024 or 1536, give or take 0.2%.
    assert sum(shared) / len(shared) == pytest.approx(0.09, abs=0.01)


def test_random_prune_is_torchs_pruning_by_the_ranks_of_the_lot(subject):
    ours, reference = pruned(subject("bert"), random_prune, sparsity=0.3, seed=4), subject("bert").model
    for name, linear in linears(reference).items():
        lots = torch.rand(linear.weight.shape, generator=generator(4, f"{name}.weight")).numpy()
        kept = lots.ravel().argsort().argsort() >= round(0.3 * lots.size)
        prune.custom_from_mask(linear, "weight", torch.from_numpy(kept).view(linear.weight.shape))
        assert torch.equal(ours.get_submodule(name).weight, linear.weight), name


def test_suite_seed_and_own_seed_both_count(subject):
    draws = []
    for suite, own in ((0, 0), (1, 0), (0, 1)):
        bert = subject("bert")
        random_prune.compress(bert, config(random_prune, sparsity=0.5, seed=own), Context(seed=suite))
        draws.append(bert.model.get_parameter("bert.encoder.layer.0.output.dense.weight").detach())
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_two_of_four_is_valid_everywhere(subject):
    before, after = subject("bert").model, pruned(subject("bert"), semi_structured)
    for name, linear in linears(before).items():
        old = linear.weight.detach().view(-1, 4)
        new = after.get_submodule(name).weight.detach().view(-1, 4)
        assert (new.count_nonzero(dim=1) == 2).all()
        for old_block, new_block in zip(old[:50].tolist(), new[:50].tolist(), strict=True):
            smallest = sorted(range(4), key=lambda i, block=old_block: abs(block[i]))[:2]
            assert new_block == [0.0 if i in smallest else value for i, value in enumerate(old_block)]


def test_a_block_that_does_not_divide_a_row_is_refused(subject):
    with pytest.raises(MethodError, match=r"output\.dense\.weight: blocks of 32 do not divide its rows of 48"):
        pruned(subject("bert"), semi_structured, block=32)


def test_wanda_by_hand():
    weight = torch.tensor([[1.0, -2.0, 3.0, 0.5], [4.0, 1.0, -1.0, 1.0]])
    norms = torch.tensor([1.0, 0.1, 0.2, 10.0])
    # Scores: 1, 0.2, 0.6, 5 and 4, 0.1, 0.2, 10: the middle two of each row go.
    mask = wanda.mask(weight, norms, config(wanda, sparsity=0.5), "w")
    assert mask.tolist() == [[False, True, True, False], [False, True, True, False]]


@pytest.mark.parametrize("kind", ["bert", "gpt_neox", "gpt2"])
@pytest.mark.parametrize("block", [None, 4])
def test_wanda_is_a_slow_walk_through_the_whole_model(kind, block, subject, corpus):
    """Reference: for each layer, run the whole model (layers below pruned already) and look at the inputs."""
    from stages.compression.calibration import calibration_inputs

    ours, reference = subject(kind), subject(kind)
    context = Context(5, corpus)
    wanda.compress(ours, config(wanda, sparsity=0.5, block=block, sequences=20, length=16), context)
    ids = calibration_inputs(reference, context, 20, 16, 0.15)
    _, layers = reference.layers()
    for layer in layers:
        squares = {}

        def look(module, inputs, squares=squares):
            squares[module] = squares.get(module, 0) + inputs[0].detach().flatten(0, -2).double().square().sum(dim=0)

        modules = [m for m in layer.modules() if getattr(m, "weight", None) is not None and m.weight.dim() == 2]
        handles = [module.register_forward_pre_hook(look) for module in modules]
        with torch.no_grad():
            for row in ids:
                reference.model(row[None])
        for handle in handles:
            handle.remove()
        for module in modules:
            transposed = type(module).__name__ == "Conv1D"
            weight = module.weight.detach().T if transposed else module.weight.detach()
            scores = weight.abs() * squares[module].sqrt().float()
            pieces = scores if block is None else scores.reshape(-1, block)
            median = pieces.sort(dim=1).values[:, pieces.shape[1] // 2 - 1 : pieces.shape[1] // 2]
            kept = torch.where((pieces <= median).view(scores.shape), 0.0, weight)
            module.weight.data = kept.T if transposed else kept
    for (name, found), expected in zip(ours.model.named_parameters(), reference.model.parameters(), strict=True):
        assert torch.equal(found, expected), name


@pytest.mark.parametrize("method", ["magnitude", "random_prune", "wanda"])
@pytest.mark.parametrize("sparsity", [0.0, 1.0, -0.1, 1.5, "half"])
def test_sparsities_that_make_no_sense_are_refused(method, sparsity):
    with pytest.raises(ParamsError, match="sparsity"):
        parse_variant({"method": method, "sparsity": sparsity}, "variants.x")


def test_a_sparsity_that_removes_nothing_or_all_is_refused():
    assert prune_count(1000, 0.25, "w") == 250
    with pytest.raises(MethodError, match=r"w: sparsity 0\.0001 removes 0 of 1000"):
        prune_count(1000, 0.0001, "w")
    with pytest.raises(MethodError, match=r"w: sparsity 0\.9999 removes 1000 of 1000"):
        prune_count(1000, 0.9999, "w")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "semi_structured", "pruned": 4}, "pruned must be smaller than block"),
        ({"method": "semi_structured", "pruned": 0}, "pruned"),
        ({"method": "wanda", "sparsity": 0.3, "block": 4}, r"sparsity 0\.3 of blocks of 4 is no whole number"),
    ],
)
def test_patterns_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ParamsError, match=message):
        parse_variant(settings, "variants.x")

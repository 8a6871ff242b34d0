"""What the sizes in method.json say, counted by hand, and the bytes on disk, on layers of BERT-base's size."""

import pytest
import torch
from safetensors import safe_open
from transformers import AlbertConfig, AlbertForMaskedLM, BertConfig, BertForMaskedLM

from stages.compression import Context, parse_variant
from stages.compression.pipeline import compress_folder

HIDDEN, INNER, VOCABULARY, POSITIONS = 768, 3072, 60, 8
QUANTIZED = 4 * HIDDEN * HIDDEN + 2 * HIDDEN * INNER
NORMS_AND_BIASES = 4 * HIDDEN + INNER + HIDDEN + 4 * HIDDEN  # of the layer
HEAD = HIDDEN * HIDDEN + HIDDEN + 2 * HIDDEN + VOCABULARY
EMBEDDINGS = (VOCABULARY + POSITIONS + 2) * HIDDEN + 2 * HIDDEN
OTHERS = NORMS_AND_BIASES + HEAD + EMBEDDINGS


@pytest.fixture
def stored(save_wide, tmp_path):
    """Compress one layer as wide as BERT-base's: gives the sizes, and the bytes on disk of what was compressed."""
    (tmp_path / "artefact").mkdir()

    def run(**variant):
        steps = parse_variant(variant, "x")
        manifest = compress_folder(save_wide, tmp_path / "artefact", steps, "masked", Context())
        found = 0
        with safe_open(tmp_path / "artefact" / "weights.safetensors", "pt") as file:
            for name in file.keys():  # noqa: SIM118
                if name.rpartition(".")[0] in manifest.tensors:
                    found += file.get_tensor(name).nbytes
        return manifest.sizes, found

    return run


@pytest.fixture
def save_wide(save, tmp_path):
    """Folder of a model with one layer of BERT-base's width."""
    folder = tmp_path / "wide"
    save("bert", folder)  # for its tokenizer
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig(
        vocab_size=VOCABULARY, max_position_embeddings=POSITIONS, num_hidden_layers=1)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({}, 4 / 16 + 32 / 16 / 3072 / 4 + 3 * 32 / 16 / 768 / 4),
        ({"granularity": "tensor"}, 4 / 16),
        ({"granularity": "group", "group_size": 64}, 4.5 / 16),
        ({"granularity": "group", "group_size": 64, "symmetric": False}, (4.5 + 4 / 64) / 16),
        ({"granularity": "group", "group_size": 128}, 4.25 / 16),
    ],
    ids=str,
)
def test_four_bits_take_at_most_three_tenths_of_float16(settings, share, stored):
    sizes, found = stored(method="round_to_nearest", bits=4, **settings)
    assert found / (2 * QUANTIZED) == pytest.approx(share, rel=2e-3)
    assert found <= 0.30 * 2 * QUANTIZED
    assert sizes.logical_bits == 8 * found + 32 * OTHERS
    assert sizes.compressed_parameters == QUANTIZED
    assert sizes.parameters == sizes.parent_parameters == QUANTIZED + OTHERS
    # What safetensors adds: names, shapes and offsets.
    assert 0 < sizes.stored_bytes - (found + 4 * OTHERS) < 8000


def test_half_of_the_weights_take_half_the_bytes_and_one_bit_each(stored):
    sizes, found = stored(method="magnitude", sparsity=0.5)
    assert found == QUANTIZED // 2 * 4 + QUANTIZED // 8
    assert sizes.logical_bits == 8 * found + 32 * OTHERS
    assert sizes.zeros >= QUANTIZED // 2
    assert sizes.sparsity == 0.5
    assert sizes.compressed_parameters == QUANTIZED


@pytest.mark.parametrize(("variant", "sparsity"), [
    ([{"method": "none"}], 0.0),
    ([{"method": "cast", "dtype": "bfloat16"}], 0.0),
    ([{"method": "magnitude", "sparsity": 0.75}], 0.75),
    ([{"method": "magnitude", "sparsity": 0.75}, {"method": "round_to_nearest", "bits": 16}], 0.75),
    ([{"method": "magnitude", "sparsity": 0.75}, {"method": "int8_dynamic"}], 0.75),
    ([{"method": "magnitude", "sparsity": 0.5, "scope": "all"}], 0.5),
])
def test_sparsity_is_the_share_of_zeros_in_the_layers_matrices(variant, sparsity, save_wide, tmp_path):
    (tmp_path / "artefact").mkdir()
    steps = parse_variant(variant, "x")
    sizes = compress_folder(save_wide, tmp_path / "artefact", steps, "masked", Context()).sizes
    # What is left after pruning lies further from zero than a step of 16 or of 8 bits.
    assert sizes.sparsity == sparsity


def test_sparsity_is_of_every_matrix_where_layers_are_in_no_one_list(save, tmp_path):
    folder = tmp_path / "albert"
    save("bert", folder)  # for its tokenizer
    torch.manual_seed(0)
    AlbertForMaskedLM(AlbertConfig(
        vocab_size=VOCABULARY, embedding_size=16, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=POSITIONS)).save_pretrained(folder)
    (tmp_path / "artefact").mkdir()
    steps = parse_variant({"method": "magnitude", "sparsity": 0.5, "scope": "all"}, "x")
    assert compress_folder(folder, tmp_path / "artefact", steps, "masked", Context()).sizes.sparsity == 0.5

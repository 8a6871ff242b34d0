"""Distillation: what the student is made of, what it learns, and what is refused."""

import json

import pytest
import torch

from stages.common.errors import DataError, MethodError, ModelError, ParamsError
from stages.common.files import sha256_folder
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.manifest import read_manifest
from stages.compression.methods import distill
from stages.compression.pipeline import compress_folder, open_subject
from stages.compression.student import spaced_layers
from tests.compression import toy
from tests.compression.toy import TRAINING

FAMILIES = ("masked", "causal")
SHORT = {"method": "distill", "layers": 2, "training": TRAINING | {"steps": 4, "warmup_steps": 1}}
STILL = {"training": TRAINING | {"steps": 1, "warmup_steps": 0, "learning_rate": 1e-30, "checkpoints": [100]}}
LAYERS = {"masked": "bert.encoder.layer", "causal": "gpt_neox.layers"}


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    root = tmp_path_factory.mktemp("teachers")
    return {family: toy.save_teacher(root / family, family) / "p100" for family in FAMILIES}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return toy.save_corpus(tmp_path_factory.mktemp("few") / "corpus.parquet", 60)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def facts(folder):
    return json.loads((folder / "checkpoint.json").read_text())


def student(teachers, corpus, family="masked", **settings):
    """The subject that a variant leaves."""
    (config,) = parse_variant(SHORT | settings, "x")
    subject = open_subject(teachers[family], family)
    distill.compress(subject, config, Context(0, corpus))
    return subject


def test_layers_are_evenly_spaced():
    assert spaced_layers(12, 6) == (0, 2, 4, 7, 9, 11)  # those of DistilBERT
    assert [spaced_layers(4, count) for count in (1, 2, 3, 4)] == [(0,), (0, 3), (0, 2, 3), (0, 1, 2, 3)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("settings", "taken"), [
    ({"layers": 2}, [0, 2]), ({"layers": None, "depth": 0.34}, [0]), ({"layers": None, "taken": (1, 2)}, [1, 2]),
    ({"layers": None}, [0, 1, 2]),
])
def test_a_student_begins_with_its_teachers_layers(family, settings, taken, teachers, corpus):
    subject = student(teachers, corpus, family, **STILL, **settings)
    own = dict(subject.model.named_parameters())
    shown = dict(open_model(teachers[family], family).model.named_parameters())
    assert subject.model.config.num_hidden_layers == len(taken)
    assert subject.resolved["taken"] == taken
    prefix = LAYERS[family]
    for name, parameter in own.items():
        number, _, rest = name.removeprefix(f"{prefix}.").partition(".")
        source = f"{prefix}.{taken[int(number)]}.{rest}" if name.startswith(prefix) else name
        assert torch.allclose(parameter, shown[source], atol=1e-6), name
    layers = {name.removeprefix(f"{prefix}.").partition(".")[0] for name in own if name.startswith(prefix)}
    assert len(layers) == len(taken)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_narrower_student_begins_with_a_part_of_its_teacher(family, teachers, corpus, tmp_path):
    sizes = {"hidden_size": 12, "num_attention_heads": 1, "intermediate_size": 16}
    subject = student(teachers, corpus, family, **STILL, **sizes, layers=2)
    shown = open_model(teachers[family], family).model.get_parameter
    prefix = LAYERS[family]
    inner = {"masked": "intermediate.dense.weight", "causal": "mlp.dense_h_to_4h.weight"}[family]
    found = subject.model.get_parameter(f"{prefix}.1.{inner}")
    assert torch.allclose(found, shown(f"{prefix}.2.{inner}")[:16, :12], atol=1e-6)
    assert {key: getattr(subject.model.config, key) for key in sizes} == sizes
    # What is learned from there is written, and opened again.
    settings = SHORT | sizes
    manifest = toy.compress(teachers[family], tmp_path / "artefact", settings, family, corpus)
    loaded, trained = open_model(tmp_path / "artefact", family), student(teachers, corpus, family, **sizes)
    ids = torch.tensor([[5, 9, 12, 3]])
    with torch.inference_mode():
        assert torch.equal(loaded.model(ids).logits, trained.model(ids).logits)
    assert manifest.sizes.parameters == loaded.parameters < manifest.sizes.parent_parameters


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("settings", [{"layers": None, "taken": (1, 2)}, {"initial": "random"}], ids=str)
def test_a_student_learns_to_attend_like_its_teacher(family, settings, teachers, corpus):
    words = {"soft": 0.0, "hard": 0.01}
    taken = [1, 2] if "taken" in settings else [0, 2]
    ids = torch.tensor(open_model(teachers[family], family).tokenizer(toy.lines(40, 6))["input_ids"])

    def attends(model):
        model.set_attn_implementation("eager")
        with torch.inference_mode():
            return model(ids, output_attentions=True).attentions

    def gap(subject):
        shown = attends(open_model(teachers[family], family).model)
        return float(sum((own - shown[number]).square().mean()
                         for own, number in zip(attends(subject.model), taken, strict=True)))

    training = TRAINING | {"steps": 60, "checkpoints": [100]}
    before = student(teachers, corpus, family, **words, **settings | STILL)
    untaught = student(teachers, corpus, family, **words, **settings, training=training)
    taught = student(teachers, corpus, family, **words, attention=100.0, **settings, training=training)
    assert taught.model.config._attn_implementation == "sdpa"
    assert gap(taught) < 0.8 * min(gap(before), gap(untaught))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_random_student_has_the_sizes_asked_for_and_weights_of_its_seed(family, teachers, corpus):
    sizes = {"hidden_size": 12, "intermediate_size": 20, "num_attention_heads": 3}
    drawn = [student(teachers, corpus, family, **STILL, **sizes, initial="random", seed=seed).model
             for seed in (0, 0, 1)]
    assert {key: getattr(drawn[0].config, key) for key in sizes} == sizes
    assert drawn[0].config.num_hidden_layers == 2
    assert drawn[0].get_input_embeddings().weight.shape[1] == 12
    first, same, other = (model.get_input_embeddings().weight for model in drawn)
    assert torch.equal(first, same)
    assert not torch.allclose(first, other, atol=1e-3)
    # A deeper one than its teacher is possible with fresh weights.
    deep = student(teachers, corpus, family, **STILL, initial="random", **{"layers": 5})
    assert deep.model.config.num_hidden_layers == 5


@pytest.mark.parametrize(("family", "steps", "margin"), [("causal", 120, 0.3), ("masked", 200, 0.2)])
def test_a_distilled_student_beats_the_same_one_alone(family, steps, margin, teachers, corpus, tmp_path):
    # Sixty lines are too few to learn the language from; the teacher has seen two thousand.
    training = TRAINING | {"steps": steps, "checkpoints": [5, 100]}
    losses = {}
    for name, soft in (("taught", 1.0), ("alone", 0.0)):
        variant = {"method": "distill", "layers": 1, "initial": "random", "soft": soft, "training": training}
        found = toy.curve(teachers[family], tmp_path / name, variant, family, corpus)
        losses[name] = [facts(folder)["heldout_loss"] for folder in found.values()]
    assert losses["taught"][1] < losses["alone"][1] - margin
    assert losses["taught"][1] < losses["taught"][0] - margin


@pytest.mark.parametrize("family", FAMILIES)
def test_products_load_without_the_teacher_and_say_the_same_to_the_bit(family, teachers, corpus, tmp_path):
    subject = student(teachers, corpus, family, cosine=1.0)
    manifest = toy.compress(teachers[family], tmp_path / "artefact", SHORT | {"cosine": 1.0}, family, corpus)
    loaded = open_model(tmp_path / "artefact", family)
    ids = torch.tensor([[5, 9, 12, 3]])
    with torch.inference_mode():
        assert torch.equal(loaded.model(ids).logits, subject.model(ids).logits)
    assert loaded.parameters == manifest.sizes.parameters < manifest.sizes.parent_parameters
    assert manifest.sizes.compressed_parameters == manifest.sizes.parameters
    assert manifest.steps[0].config["taken"] == [0, 2]
    config = json.loads((tmp_path / "artefact" / "config.json").read_text())
    assert config["num_hidden_layers"] == 2


def test_the_curve_holds_what_is_known_of_each_point(teachers, corpus, tmp_path):
    found = toy.curve(teachers["masked"], tmp_path / "curve", SHORT, "masked", corpus)
    assert list(found) == ["p050", "p100"]
    records = [facts(folder) for folder in found.values()]
    assert [(record["fraction"], record["step"], record["steps"]) for record in records] == [(0.5, 2, 4), (1.0, 4, 4)]
    assert records[0]["heldout_loss"] != records[1]["heldout_loss"]
    # A student that does not move keeps its first loss, which is the teacher's own if it has all its layers.
    for layers, key in ((2, "initial_heldout_loss"), (3, "teacher_heldout_loss")):
        still = student(teachers, corpus, **STILL, layers=layers).facts["heldout_loss"]
        assert [record[key] for record in records] == pytest.approx([still, still], abs=2e-6)
    assert records[1]["tokens_seen"] == 4 * 16 * 12  # ten words between [CLS] and [SEP]
    manifests = [read_manifest(folder) for folder in found.values()]
    assert manifests[0].weights_sha256 != manifests[1].weights_sha256
    assert manifests[0].steps == manifests[1].steps
    # The product by itself is the last of them, and another run gives the same bytes.
    toy.compress(teachers["masked"], tmp_path / "alone", SHORT, "masked", corpus)
    assert sha256_folder(tmp_path / "alone") == sha256_folder(found["p100"])
    other = toy.compress(teachers["masked"], tmp_path / "other", SHORT | {"seed": 1}, "masked", corpus)
    assert other.weights_sha256 != manifests[1].weights_sha256


def test_a_quality_floor_ends_training_where_it_is_reached(teachers, corpus, tmp_path):
    training = TRAINING | {"steps": 40, "checkpoints": [10, 50, 75, 100]}
    variant = SHORT | {"training": training}
    found = toy.curve(teachers["causal"], tmp_path / "a", variant, "causal", corpus)
    whole = [facts(folder) for folder in found.values()]
    ratios = [record["heldout_loss"] / record["teacher_heldout_loss"] for record in whole]
    assert ratios[0] > ratios[1] > 1.0
    floor = (ratios[0] + ratios[1]) / 2
    variant |= {"stop": {"heldout_loss_ratio": floor, "required": True}}
    found = toy.curve(teachers["causal"], tmp_path / "b", variant, "causal", corpus)
    assert list(found) == ["p010", "p050"]
    assert [facts(folder) for folder in found.values()] == [
        whole[0] | {"floor_reached": False}, whole[1] | {"floor_reached": True}]


def test_a_floor_that_is_not_reached_is_recorded_or_refused(teachers, corpus, tmp_path):
    variant = SHORT | {"stop": {"heldout_loss_ratio": 0.5}}
    found = toy.curve(teachers["causal"], tmp_path / "a", variant, "causal", corpus)
    assert [facts(folder)["floor_reached"] for folder in found.values()] == [False, False]
    variant = SHORT | {"stop": {"heldout_loss_ratio": 0.5, "required": True}}
    message = r"after 4 steps the held-out loss is \d\.\d+ times the teacher's; the floor is 0\.5"
    with pytest.raises(MethodError, match=message):
        toy.curve(teachers["causal"], tmp_path / "b", variant, "causal", corpus)


def test_a_loss_that_is_no_number_names_its_step(teachers, corpus):
    wild = TRAINING | {"learning_rate": 1e38, "warmup_steps": 0}
    with pytest.raises(ModelError, match=r"the loss is (nan|inf) at step 2"):
        student(teachers, corpus, training=wild)


@pytest.mark.parametrize(("settings", "message"), [
    ({"layers": 4}, "a student of 4 layers cannot begin with the 3 of its teacher .*initial: random"),
    ({"hidden_size": 48}, "hidden_size 48 cannot begin with its teacher's weights, which have 24"),
    ({"intermediate_size": 33}, "intermediate_size 33 cannot begin with"),
    ({"hidden_size": 12}, "12 with 2 heads cannot begin with its teacher's, which are 12 wide"),
    ({"hidden_size": 12, "num_attention_heads": 1, "attention": 1.0},
     "attention compares one number of attention heads; the student's is 1, the teacher's 2"),
    ({"initial": "random", "layers": 4, "attention": 1.0},
     "attention compares layers; the student has 4, the teacher 3"),
    ({"layers": None, "taken": [0, 3]}, r"the teacher has no layer 3 \(its layers are 0 to 2\)"),
    ({"initial": "random", "hidden_size": 12, "cosine": 1.0}, "the student's is 12, the teacher's 24"),
    ({"initial": "random", "hidden_size": 13}, "the student cannot be built: .*13"),
    ({"training": TRAINING | {"sequence_length": 64}}, r"training\.sequence_length: 64 is more than the 32"),
])
def test_students_that_make_no_sense_are_refused(settings, message, teachers, corpus):
    with pytest.raises(MethodError, match=message):
        student(teachers, corpus, **settings)


def test_texts_that_are_missing_or_too_short_are_refused(teachers, tmp_path):
    with pytest.raises(MethodError, match=r"needs texts to train on .*--corpus"):
        student(teachers, None)
    with pytest.raises(DataError, match="no such corpus table"):
        student(teachers, tmp_path / "gone.parquet")
    few = toy.save_corpus(tmp_path / "few.parquet", 1, 1)
    with pytest.raises(DataError, match=r"has 10 tokens, fewer than one sequence of 12"):
        student(teachers, few, training=TRAINING | {"packing": "blocks"})


def test_a_sentence_encoder_is_refused(checkpoints, corpus, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(MethodError, match=r"sentence encoder has no language-model head .*only: "):
        compress_folder(checkpoints / "sentence", tmp_path / "out", parse_variant(SHORT, "x"), "sentence",
                        Context(0, corpus))


@pytest.mark.parametrize(("settings", "message"), [
    ({"soft": 0, "hard": 0, "cosine": 1.0}, "soft and hard are both 0: which words to say is not learned"),
    ({"attention": -1.0}, "attention: "),
    ({"depth": 0.5}, "at most one of 'layers', 'depth' and 'taken'"),
    ({"layers": 0}, "layers: .*greater than or equal to 1"),
    ({"layers": None, "taken": [1, 0]}, "taken must rise"),
    ({"layers": None, "taken": [0], "initial": "random"}, "taken belongs to initial: teacher"),
    ({"temperature": 0}, "temperature: "),
    ({"stop": {"heldout_loss_ratio": 0}}, r"stop\.heldout_loss_ratio: "),
    ({"training": TRAINING | {"checkpoints": [50]}}, "checkpoints must rise and end at 100"),
    ({"training": TRAINING | {"batch": 3}}, r"training\.batch: unknown key; allowed: .*batch_size"),
])
def test_settings_that_make_no_sense_are_refused_before_anything_runs(settings, message):
    with pytest.raises(ParamsError, match=message):
        parse_variant(SHORT | settings, "variants.x")




@pytest.mark.parametrize("family", FAMILIES)
def test_mixup_changes_what_is_learned_and_by_the_seed_alone(family, teachers, corpus):
    tokens = open_subject(teachers[family], family).loaded.tokenizer
    pair = [word for word in toy.WORDS if len(tokens.encode(f" {word}", add_special_tokens=False)) == 1][:2]
    learned = [student(teachers, corpus, family, **settings).model.state_dict()
               for settings in ({}, {"mixup": {}}, {"mixup": {}}, {"mixup": {"pairs": [pair]}})]
    plain, blended, again, paired = (weights[next(iter(weights))] for weights in learned)
    assert torch.equal(blended, again)
    assert not torch.equal(plain, blended)
    assert not torch.equal(plain, paired)
    assert not torch.equal(blended, paired)


@pytest.mark.parametrize(("settings", "message"), [
    ({"mixup": {"pairs": [["he", "he"]]}}, "stands in two pairs, or with itself"),
    ({"mixup": {"pairs": [["he", "she"], ["she", "it"]]}}, "stands in two pairs"),
    ({"mixup": {}, "soft": 0.0}, "mixup blends what the teacher is asked"),
    ({"mixup": {"alpha": 0}}, "greater than 0"),
])
def test_mixup_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ParamsError, match=message):
        parse_variant(SHORT | settings, "x")


def test_a_word_to_blend_that_the_vocabulary_lacks_is_named(teachers, corpus):
    with pytest.raises(MethodError, match=r"mixup\.pairs: 'zyx' is no word of the vocabulary"):
        student(teachers, corpus, mixup={"pairs": [[toy.WORDS[0], "zyx"]]})

"""The parts of the distillation loss against literal ones, and where their gradients go."""

import copy

import numpy as np
import pytest
import torch

from stages.common.errors import MethodError
from stages.training.distillation import Weights, attention_loss, cosine_loss, distillation_loss, soft_loss
from stages.training.objectives import Causal, loss_function
from tests.training.tiny import make_model

DRAW = np.random.default_rng(0)
STUDENT, TEACHER = (DRAW.normal(size=(5, 11)).astype(np.float32) * 3 for _ in range(2))


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 7.5])
def test_soft_loss_is_the_literal_divergence(temperature):
    own, shown = (softmax(logits.astype(np.float64) / temperature) for logits in (STUDENT, TEACHER))
    expected = temperature**2 * (shown * (np.log(shown) - np.log(own))).sum(axis=1).mean()
    found = soft_loss(torch.from_numpy(STUDENT), torch.from_numpy(TEACHER), temperature)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_soft_loss_of_the_teacher_itself_is_nothing():
    logits = torch.from_numpy(TEACHER)
    assert soft_loss(logits + 3.0, logits, 2.0).item() == pytest.approx(0.0, abs=1e-6)


def test_gradients_of_the_soft_loss_are_the_literal_ones_and_keep_their_size():
    gradients = {}
    for temperature in (2.0, 100.0, 200.0):
        student = torch.tensor(STUDENT, requires_grad=True)
        soft_loss(student, torch.from_numpy(TEACHER), temperature).backward()
        gradients[temperature] = student.grad.numpy()
    # Hinton et al. (2015), equation 2: 1/T (q - p) for each position; here times T^2, over 5 positions.
    expected = 2.0 * (softmax(STUDENT / 2.0) - softmax(TEACHER / 2.0)) / 5
    np.testing.assert_allclose(gradients[2.0], expected, atol=1e-6)
    # Equation 4: for a high temperature 1/(N T^2) of the difference of the centred logits; here without the T^2.
    limit = (STUDENT - STUDENT.mean(axis=1, keepdims=True) - TEACHER + TEACHER.mean(axis=1, keepdims=True)) / 11 / 5
    np.testing.assert_allclose(gradients[100.0], limit, atol=0.1 * np.abs(limit).max())
    np.testing.assert_allclose(gradients[200.0], limit, atol=0.05 * np.abs(limit).max())


def test_cosine_loss_is_the_literal_one_over_tokens_alone():
    own, shown = (DRAW.normal(size=(2, 4, 6)).astype(np.float32) for _ in range(2))
    attention = np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
    cosines = [own[place] @ shown[place] / np.linalg.norm(own[place]) / np.linalg.norm(shown[place])
               for place in zip(*np.nonzero(attention), strict=True)]
    assert len(cosines) == 6
    found = cosine_loss(torch.from_numpy(own), torch.from_numpy(shown), torch.from_numpy(attention))
    assert found.item() == pytest.approx(1.0 - np.mean(cosines), abs=1e-6)


@pytest.fixture
def batch():
    draw = np.random.default_rng(1)
    return Causal(pad=0).batch([draw.integers(1, 40, size=length) for length in (9, 5)], draw)


def test_attention_loss_is_the_literal_one_over_pairs_of_tokens():
    own, shown = (DRAW.random(size=(2, 2, 3, 4, 4)).astype(np.float32) for _ in range(2))  # layers, sequences, heads
    attention = np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
    layers = []
    for layer in range(2):
        squares = [(own[layer, text, head, row, column] - shown[layer, text, head, row, column]) ** 2
                   for text, length in ((0, 4), (1, 2)) for head in range(3)
                   for row in range(length) for column in range(length)]
        assert len(squares) == 3 * (16 + 4)
        layers.append(np.mean(squares))
    found = attention_loss(torch.from_numpy(own), torch.from_numpy(shown), torch.from_numpy(attention))
    assert found.item() == pytest.approx(np.mean(layers), rel=1e-5)


def part(student, teacher, batch, layers=(), **weights):
    none = {"soft": 0.0, "hard": 0.0, "cosine": 0.0, "temperature": 3.0}
    return distillation_loss(student, teacher, Weights(**none | weights), layers)(batch)


@pytest.mark.parametrize("family", ["masked", "causal"])
def test_the_attention_part_compares_the_layers_named_and_leaves_the_models_as_they_were(family, batch):
    student, teacher = make_model(family, 40).eval(), make_model(family, 40, num_hidden_layers=2).eval()
    plain = [model(batch.ids, attention_mask=batch.attention).logits for model in (student, teacher)]
    with torch.no_grad():
        found = [part(student, teacher, batch, layers=(number,), attention=2.0).item() for number in (0, 1)]
        again = [model(batch.ids, attention_mask=batch.attention).logits for model in (student, teacher)]
        assert all(torch.equal(*pair) for pair in zip(plain, again, strict=True))
        for model in (student, teacher):
            model.set_attn_implementation("eager")
        own, shown = (model(batch.ids, attention_mask=batch.attention, output_attentions=True).attentions
                      for model in (student, teacher))
    expected = [2.0 * attention_loss(own, shown[number : number + 1], batch.attention).item() for number in (0, 1)]
    assert found == pytest.approx(expected, rel=1e-5)
    assert found[0] != found[1]


def test_gradients_of_the_attention_part_reach_the_query_map(batch):
    student, teacher = make_model("masked", 40), make_model("masked", 40, num_hidden_layers=2).eval()
    part(student, teacher, batch, layers=(1,), attention=1.0).backward()
    query = student.bert.encoder.layer[0].attention.self.query.weight
    assert query.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_model_that_gives_no_attention_is_refused(batch):
    student, teacher = make_model("causal", 40).eval(), make_model("causal", 40).eval()
    student.base_model.register_forward_hook(lambda module, args, output: setattr(output, "attentions", None))
    with pytest.raises(MethodError, match="'gpt_neox' gives no attention probabilities"):
        part(student, teacher, batch, layers=(0,), attention=1.0)


def test_parts_add_up_by_their_weights_and_are_the_models_own(batch):
    student, teacher = make_model("causal", 40).eval(), make_model("causal", 40, num_hidden_layers=2).eval()
    with torch.no_grad():
        soft, hard, cosine = (part(student, teacher, batch, **{name: 1.0}) for name in ("soft", "hard", "cosine"))
        whole = part(student, teacher, batch, soft=0.5, hard=2.0, cosine=3.0)
        own, shown = (model(batch.ids, attention_mask=batch.attention, output_hidden_states=True)
                      for model in (student, teacher))
    assert whole.item() == pytest.approx(0.5 * soft.item() + 2.0 * hard.item() + 3.0 * cosine.item(), rel=1e-5)
    assert hard.item() == pytest.approx(loss_function(student)(batch).item(), rel=1e-6)
    literal = soft_loss(own.logits.flatten(0, 1)[batch.reads], shown.logits.flatten(0, 1)[batch.reads], 3.0)
    assert soft.item() == pytest.approx(literal.item(), abs=1e-5)
    literal = cosine_loss(own.hidden_states[-1], shown.hidden_states[-1], batch.attention)
    assert cosine.item() == pytest.approx(literal.item(), abs=1e-5)


def test_gradients_reach_the_student_alone(batch):
    student, teacher = make_model("causal", 40), make_model("causal", 40, num_hidden_layers=2).eval()
    before = copy.deepcopy(teacher.state_dict())
    part(student, teacher, batch, soft=1.0, hard=1.0, cosine=1.0).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0
               for name, parameter in student.named_parameters() if name.endswith("weight"))
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_without_soft_targets_the_teacher_is_not_run(batch):
    student = make_model("causal", 40).eval()
    assert part(student, None, batch, hard=1.0).item() == loss_function(student)(batch).item()

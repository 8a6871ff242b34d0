"""A model under compression: its weights, which of them a method may touch, and how each is stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from stages.common.errors import MethodError
from stages.compression.forms import Form
from stages.models.load import LoadedModel
from stages.models.memory import give_back

Scope = Literal["layers", "linear", "all"]
"""Which weights a method touches: the matrices of the transformer's layers; every linear map, the
heads included (a tied one becomes a copy of its own); or the embeddings too. Norms and biases never."""


@dataclass
class Subject:
    """A model in float32 that the steps of a variant change one after the other.

    Each step works on the float32 values that the step before left; what it says about a
    weight's form replaces what an earlier step said.
    """

    loaded: LoadedModel
    folder: Path
    """Where it was loaded from."""
    forms: dict[str, Form] = field(default_factory=dict)
    """How a weight is stored, by parameter name; plain float32 where there is none."""
    modules: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Modules that will compute otherwise, by name (``stages.compression.runtime``)."""
    config_changes: dict[str, Any] = field(default_factory=dict)
    """Fields of ``config.json`` that the method changed."""
    copies: int = 0
    """Parameters in copies of tied weights."""
    changed: set[str] = field(default_factory=set)
    """Parameters whose value or storage a method changed."""
    reshaped: bool = False
    """Whether a method changed which parameters there are."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What takes the place of the checkpoint's own ``checkpoint.json``; empty where that still holds."""
    resolved: dict[str, Any] = field(default_factory=dict)
    """What the last step made of its settings; recorded with them in ``method.json``."""

    @property
    def model(self) -> Any:
        """The transformers module."""
        return self.loaded.model

    def matrices(self, scope: Scope) -> list[Matrix]:
        """The weight matrices of a scope, in the model's order, each parameter once.

        Raises:
            MethodError: The model has none.
        """
        found: dict[int, Matrix] = {}
        for name, module in self._modules(scope):
            parameter = module.weight
            if id(parameter) not in found:
                found[id(parameter)] = Matrix(self, name, f"{name}.weight", module, isinstance(module, Conv1D))
        if not found:
            raise MethodError(f"the model has no weight in the scope {scope!r}", where=self.folder)
        return list(found.values())

    def store(self, name: str, form: Form, *, forget: bool = False) -> None:
        """Store a parameter in a form, and give it the values that come back from that.

        Args:
            name: The parameter.
            form: How it is stored.
            forget: No later step looks at it, so that its values need not be held; ``values`` gives them.
        """
        parameter = self.model.get_parameter(name)
        before = parameter.data
        parameter.data = torch.zeros(()).expand(before.shape) if forget else form.weight()
        give_back(before)
        self.forms[name] = form
        self.changed.add(name)

    def values(self, name: str) -> Tensor:
        """float32 values of a parameter."""
        parameter: Tensor = self.model.get_parameter(name).detach()
        forgotten = parameter.dim() > 0 and set(parameter.stride()) == {0}
        return self.forms[name].weight() if forgotten and name in self.forms else parameter

    def assign(self, name: str, values: Tensor) -> None:
        """Give a parameter other float32 values, stored as such."""
        self.model.get_parameter(name).data.copy_(values)
        self.forms.pop(name, None)
        self.changed.add(name)

    def replace(self, model: Any) -> None:
        """Put another model in the place of the one there is, every weight stored as plain float32."""
        self.loaded = dataclasses.replace(self.loaded, model=model.eval())
        self.forms, self.copies, self.reshaped = {}, 0, True
        self.changed = {name for name, _ in model.named_parameters()}

    def retrained(self) -> None:
        """Say that every weight changes and is stored as plain float32; copies of tied ones are their own from now."""
        self.forms, self.copies = {}, 0
        self.changed = {name for name, _ in self.model.named_parameters()}

    def untie(self, module: Any) -> str:
        """Give a module a weight of its own; the name of the parameter it shared, or an empty string."""
        weight: Any = module.weight
        for name, other in self.model.named_modules():
            if other is not module and id(getattr(other, "weight", None)) == id(weight):
                module.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
                self.copies += weight.numel()
                return f"{name}.weight"
        return ""

    def layers(self) -> tuple[str, nn.ModuleList]:
        """Name and list of the transformer's layers.

        Raises:
            MethodError: The architecture keeps them in no one list.
        """
        lists = [(name, module) for name, module in self.model.named_modules()
                 if isinstance(module, nn.ModuleList) and len(module) == self.model.config.num_hidden_layers]
        if not lists:
            raise MethodError(f"architecture {self.loaded.architecture!r} keeps its layers in no one list",
                              where=self.folder, fix="choose scope: linear or all, where the method has one")
        return lists[0]

    def _modules(self, scope: Scope) -> Iterator[tuple[str, Any]]:
        kinds: tuple[type, ...] = (nn.Linear, Conv1D)
        if scope == "all":
            kinds += (nn.Embedding,)
        prefix = f"{self.layers()[0]}." if scope == "layers" else ""
        for name, module in self.model.named_modules():
            if type(module) in kinds and name.startswith(prefix):
                if scope == "linear":
                    self.untie(module)
                yield name, module


@dataclass(frozen=True)
class Matrix:
    """A weight matrix as the map it is: rows are outputs, columns are inputs."""

    subject: Subject
    module_name: str
    name: str
    """Of the parameter."""
    module: Any
    transposed: bool
    """GPT-2's ``Conv1D`` keeps [in, out]."""

    def get(self) -> Tensor:
        """float32 values of shape [out, in]; changing them changes nothing."""
        values = self.module.weight.detach()
        return (values.T if self.transposed else values).clone(memory_format=torch.contiguous_format)

    def assign(self, values: Tensor) -> None:
        """Give the matrix other values, of shape [out, in]."""
        self.subject.assign(self.name, values.T if self.transposed else values)

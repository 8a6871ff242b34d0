"""A model under compression: its weights, which of them a method may touch, and how each is stored."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from stages.common.errors import MethodError
from stages.compression.forms import Form
from stages.compression.scopes import Scope, is_norm, layers_of, linear_maps
from stages.models.load import LoadedModel
from stages.models.memory import give_back


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

    def matrices(self, scope: Scope, *, embeddings: bool = False, norms: bool = False) -> list[Matrix]:
        """The weights of a scope, in the model's order, each parameter once.

        Args:
            scope: Which linear maps.
            embeddings: Whether the model's embeddings are added; one that a head is tied to changes the head too.
            norms: Whether the model's norms are added; their weights are vectors, not matrices.

        Raises:
            MethodError: The model has none; or see ``stages.compression.scopes.linear_maps``.
        """
        chosen = {name for name, _ in linear_maps(self.model, self.loaded.architecture, scope, self.folder)}
        found: dict[int, Matrix] = {}
        for name, module in self.model.named_modules():
            added = (embeddings and type(module) is nn.Embedding) or (norms and is_norm(module))
            if name not in chosen and not added:
                continue
            if scope == "linear" and name in chosen:
                self.untie(module)
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
        return layers_of(self.model, self.loaded.architecture, self.folder)


@dataclass(frozen=True)
class Matrix:
    """A weight matrix as the map it is: rows are outputs, columns are inputs; or a norm's vector, as it is."""

    subject: Subject
    module_name: str
    name: str
    """Of the parameter."""
    module: Any
    transposed: bool
    """GPT-2's ``Conv1D`` keeps [in, out]."""

    def get(self) -> Tensor:
        """float32 values of shape [out, in], of a norm [width]; changing them changes nothing."""
        values = self.module.weight.detach()
        return (values.T if self.transposed else values).clone(memory_format=torch.contiguous_format)

    def assign(self, values: Tensor) -> None:
        """Give the matrix other values, of shape [out, in]."""
        self.subject.assign(self.name, values.T if self.transposed else values)

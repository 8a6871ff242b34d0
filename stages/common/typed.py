"""Typed settings: frozen, unknown keys forbidden, every mistake named with its key and what is allowed."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from stages.common.errors import ParamsError

T = TypeVar("T")
Config = TypeVar("Config", bound=BaseModel)

# No dots: DVC reads a dot in `models.${item.model}` as one level of nesting more.
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Family = Literal["masked", "causal", "sentence"]
FAMILIES: tuple[Family, ...] = ("masked", "causal", "sentence")


class Frozen(BaseModel):
    """Base of every typed config: immutable, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def parse(kind: type[Config], raw: Any, where: str) -> Config:
    """Validate raw data against a typed config; every mistake is named with its key.

    Raises:
        ParamsError: Unknown key, missing key or value out of range.
    """
    if not isinstance(raw, dict):
        raise ParamsError(f"expected a mapping, found {type(raw).__name__}", where=where)
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise ParamsError("; ".join(_explain(kind, detail) for detail in error.errors()), where=where) from None


def choose(options: dict[str, T], name: str, what: str) -> T:
    """Look ``name`` up in ``options``.

    Raises:
        ParamsError: There is no such name; the message lists the ones there are.
    """
    if name not in options:
        raise ParamsError(f"unknown {what} {name!r}; there are: {', '.join(sorted(options)) or 'none'}")
    return options[name]


def _explain(kind: type[BaseModel], detail: Any) -> str:
    key = ".".join(str(part) for part in detail["loc"]) or "(top level)"
    if detail["type"] == "extra_forbidden":
        allowed = _allowed_keys(kind, detail["loc"][:-1])
        return f"{key}: unknown key" + (f"; allowed: {', '.join(allowed)}" if allowed else "")
    message = detail["msg"].removeprefix("Value error, ")
    given = detail.get("input")
    shown = f" (given: {given!r})" if not isinstance(given, (dict, BaseModel)) else ""
    return f"{key}: {message}{shown}"


def _allowed_keys(kind: Any, path: tuple[Any, ...]) -> list[str]:
    """Field names of the model that ``path`` leads to, as far as it can be followed."""
    schema = kind.model_json_schema()
    node = schema
    for part in path:
        node = _resolve(schema, node)
        if part in node.get("properties", {}):
            node = node["properties"][part]
        elif part in node.get("discriminator", {}).get("mapping", {}):
            node = {"$ref": node["discriminator"]["mapping"][part]}
        elif "patternProperties" in node:  # a mapping of slugs
            node = next(iter(node["patternProperties"].values()))
        elif "items" in node:
            node = node["items"]
        else:
            return []
    return sorted(_resolve(schema, node).get("properties", {}))


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    for branch in node.get("anyOf", []):  # an optional sub-model: Model | None
        if "$ref" in branch:
            node = branch
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    return node

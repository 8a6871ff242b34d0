"""The pipeline's definition agrees with the code: dependencies, params, copies, and what no file may hold."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.common.params import load_params

ROOT = Path(__file__).parents[1]
CELLS = ROOT / "stages/cells.pipeline.yaml"
PIPELINE = {name: stage for path in (ROOT / "dvc.yaml", CELLS)
            for name, stage in yaml.safe_load(path.read_text(encoding="utf-8"))["stages"].items()}
STAGES = sorted(PIPELINE)
PARAMS = [ROOT / "params.yaml", *sorted(ROOT.glob("suites/*/params.yaml"))]
MODULES = sorted((ROOT / "stages").rglob("*.py"))
LONGEST_FILE = 300
# Apart from the slashes, so that this file does not hold what it looks for.
FOLDERS = "|".join(["work", "home", "root", "Users", "tmp", "mnt", "scratch"])
MACHINE_PATHS = re.compile(rf"(?<![\w.~-])/(?:{FOLDERS})/\w")
UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def stage_of(name: str) -> dict[str, Any]:
    """What one stage of this name is, of however many."""
    definition: dict[str, Any] = PIPELINE[name]
    return definition.get("do", definition)


def items_of(name: str, path: Path) -> Iterator[dict[str, str]]:
    """What the stages of this name are made for in a suite."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "foreach" in PIPELINE[name]:
        assert PIPELINE[name]["foreach"] == "${cell.variants}"
        for file in path.parent.glob("cells/*/cells.yaml"):
            cell = yaml.safe_load(file.read_text(encoding="utf-8"))["cell"]
            yield from ({"cell.model": cell["model"], "item": variant} for variant in cell["variants"])
        return
    axes = {axis: list(resolve(raw, values[2:-1])) for axis, values in PIPELINE[name].get("matrix", {}).items()}
    for values in itertools.product(*axes.values()):
        yield {f"item.{axis}": value for axis, value in zip(axes, values, strict=True)}


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tracked_files() -> list[Path]:
    """Files that are, or on the next ``git add`` would be, part of the repository."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )
    return [path for name in sorted(set(done.stdout.split("\0")) - {""}) if (path := ROOT / name).is_file()]


def file_of(module: str) -> Path | None:
    base = ROOT / module.replace(".", "/")
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def imports(path: Path) -> Iterator[str]:
    """Modules of ``stages`` that a file imports, anywhere in it but for type checkers alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def plug_ins(path: Path) -> Iterator[str]:
    """Modules that a package finds by looking into its own folder: a registry imports them all."""
    source = path.read_text(encoding="utf-8")
    if path.name == "__init__.py" and "pkgutil.iter_modules" in source:
        yield from (".".join(found.relative_to(ROOT).with_suffix("").parts) for found in path.parent.rglob("[!_]*.py"))


def reached(start: str) -> set[str]:
    """Files of ``stages`` that a module needs, packages on the way to it included."""
    files: set[Path] = set()
    waiting = [start]
    while waiting:
        parts = waiting.pop().split(".")
        if parts[0] != "stages":
            continue
        for module in (".".join(parts[:length]) for length in range(1, len(parts) + 1)):
            path = file_of(module)
            if path is not None and path not in files:
                files.add(path)
                waiting += [*imports(path), *plug_ins(path)]
    return {short(path) for path in files}


def module_of(stage: dict[str, Any]) -> str:
    found = re.match(r"python -m (stages\.\w+)\b", stage["cmd"])
    assert found, f"{stage['cmd']!r} runs no module of stages"
    return found[1]


def code_deps(stage: dict[str, Any]) -> list[str]:
    return [dep for dep in stage["deps"] if dep.startswith("stages")]


def covers(dep: str, path: str) -> bool:
    return path == dep or path.startswith(f"{dep}/")


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_declares_all_code_it_imports_and_no_other(name: str) -> None:
    stage = stage_of(name)
    # stages/__init__.py is on the way to everything; the test below says that it holds nothing.
    needed = reached(module_of(stage)) - {"stages/__init__.py"}
    deps = code_deps(stage)
    undeclared = sorted(path for path in needed if not any(covers(dep, path) for dep in deps))
    unneeded = sorted(dep for dep in deps if not any(covers(dep, path) for path in needed))
    assert (undeclared, unneeded) == ([], [])


def test_the_package_that_no_stage_declares_holds_nothing() -> None:
    (only,) = ast.parse((ROOT / "stages/__init__.py").read_text(encoding="utf-8")).body
    assert isinstance(only, ast.Expr)
    assert isinstance(only.value, ast.Constant)


@pytest.mark.parametrize("name", STAGES)
def test_declared_code_and_files_exist(name: str) -> None:
    written = [dep for dep in stage_of(name)["deps"] if "${" not in dep]
    assert [dep for dep in written if not (ROOT / dep).exists()] == []


@pytest.mark.parametrize("path", PARAMS, ids=short)
def test_params_load_and_say_where_they_are(path: Path) -> None:
    params = load_params(path)
    assert params.params_file == short(path)
    assert (path.parent / params.wdir).resolve() == ROOT
    if path.parent != ROOT:
        assert params.suite == path.parent.name


def test_no_two_suites_share_a_name() -> None:
    names = [load_params(path).suite for path in PARAMS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", PARAMS, ids=short)
@pytest.mark.parametrize("name", STAGES)
def test_every_param_that_a_stage_declares_is_in_the_suite(name: str, path: Path) -> None:
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    stage = stage_of(name)
    keys = [key for group in stage["params"] for keys in group.values() for key in keys]
    missing = set()
    for item in items_of(name, path):
        for key in keys:
            filled = re.sub(r"\$\{([\w.]+)\}", lambda found, item=item: item[found[1]], key)
            try:
                resolve(raw, filled)
            except KeyError:
                missing.add(filled)
    assert missing == set()


def resolve(raw: Any, key: str) -> Any:
    for part in key.split("."):
        raw = raw[part]
    return raw


@pytest.mark.parametrize("folder", sorted(ROOT.glob("suites/*/")), ids=short)
def test_every_suite_has_the_same_pipeline_as_a_file_of_its_own(folder: Path) -> None:
    copy = folder / "dvc.yaml"
    assert not copy.is_symlink()  # dvc metrics diff does not follow links
    assert copy.read_bytes() == (ROOT / "dvc.yaml").read_bytes(), "run make sync-suites"


@pytest.mark.parametrize("path", PARAMS, ids=short)
def test_every_model_has_the_same_stages_as_a_file_of_its_own(path: Path) -> None:
    copies = sorted(path.parent.glob("cells/*/dvc.yaml"))
    assert [copy.parent.name for copy in copies] == sorted(load_params(path).models)
    assert {copy.read_bytes() for copy in copies} == {CELLS.read_bytes()}, "run make cells"


def test_no_file_names_a_path_of_one_machine() -> None:
    found = []
    for path in tracked_files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # a picture, say
        found += [f"{short(path)}:{n}: {line}" for n, line in enumerate(lines, 1) if MACHINE_PATHS.search(line)]
    assert found == []


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_modules_say_what_they_are_and_stay_short(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source)), "no module docstring"
    assert len(source.splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=short)
def test_tests_stay_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_no_code_runs_code_that_a_file_brings(path: Path) -> None:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] in UNSAFE_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in UNSAFE_MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in ("torch.load", "yaml.load", "yaml.unsafe_load"):
            found.append(ast.unparse(node))
        elif isinstance(node, ast.keyword) and node.arg in ("trust_remote_code", "allow_pickle"):
            found += [] if ast.unparse(node.value) == "False" else [f"{node.arg}={ast.unparse(node.value)}"]
        elif isinstance(node, ast.Constant) and node.value == "trust_remote_code":
            found.append("trust_remote_code as a key")
    assert found == []

"""Models that exist already: on the hub, inside an installed package, in a local folder."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from stages.common.errors import ModelError
from stages.common.params import HubModel, LocalModel, Package, PackagedModel

FILES = (
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",
)
"""What is taken of a model folder: config, safetensors weights and tokenizer; never a pickle."""
_TOKENIZER = tuple(name for name in FILES if name != "config.json" and "safetensors" not in name)


def take(spec: HubModel | PackagedModel | LocalModel, target: Path) -> dict[str, str]:
    """Copy a model's files, as they are, into ``target/<checkpoint>``.

    Returns:
        Where each checkpoint comes from: ``{"p100": "..."}``.

    Raises:
        ModelError: The model is not there, or has no config or no safetensors weights.
    """
    if isinstance(spec, HubModel):
        revisions = spec.checkpoints or {"p100": spec.revision}
        for name, revision in revisions.items():
            # Checkpoints of one run share the tokenizer of its main revision (Pythia's have none of their own).
            _copy(_snapshot(spec.repo, revision), target / name, FILES)
            _copy(_snapshot(spec.repo, spec.revision), target / name, _TOKENIZER)
        return {name: f"{spec.repo}@{revision}" for name, revision in revisions.items()}
    if isinstance(spec, PackagedModel):
        folder, origin = package_folder(spec.package), f"{spec.package.name}/{spec.package.folder}"
    else:
        folder, origin = Path(spec.path), spec.path
        if not folder.is_dir():
            raise ModelError("no such model folder", where=folder)
    _copy(folder, target / "p100", FILES)
    return {"p100": origin}


def package_folder(package: Package) -> Path:
    """The model folder inside an installed package, found without importing the package.

    Raises:
        ModelError: The package is not installed, or has no such folder.
    """
    spec = importlib.util.find_spec(package.name)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"the package {package.name!r} is not installed", fix="make setup-mini")
    folder = Path(spec.submodule_search_locations[0]) / package.folder
    if not folder.is_dir():
        raise ModelError(f"the package {package.name!r} has no folder {package.folder!r}", where=folder.parent)
    return folder


def _copy(source: Path, target: Path, patterns: tuple[str, ...]) -> None:
    if not (source / "config.json").is_file():
        raise ModelError("no config.json in the model folder", where=source)
    if not any(source.glob("*.safetensors")):
        raise ModelError("no safetensors weights in the model folder", where=source,
                         fix="pickled weights are not opened; convert them to model.safetensors")
    target.mkdir(parents=True, exist_ok=True)
    for pattern in patterns:
        for path in sorted(source.glob(pattern)):
            shutil.copyfile(path, target / path.name)


def _snapshot(repo: str, revision: str) -> Path:
    """The hub's files of a repository at a revision, from the local cache if they are there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    files = list(FILES)
    try:
        try:
            cached = Path(snapshot_download(repo, revision=revision, allow_patterns=files, local_files_only=True))
            if (cached / "config.json").is_file() and any(cached.glob("*.safetensors")):
                return cached
        except LocalEntryNotFoundError:
            pass  # not in the cache yet
        return Path(snapshot_download(repo, revision=revision, allow_patterns=files))
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"not to be had from the hub at {revision}: {reason}", where=repo,
                         fix="check the name; without network, fill the hub cache (HF_HUB_CACHE) or set HF_ENDPOINT "
                         "to a mirror") from error

"""Source manifests: what a dataset's files are, where they come from and what pins them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import yaml
from pydantic import Field, StringConstraints, model_validator

from stages.common.errors import ParamsError
from stages.common.files import git_blob_id, sha256_file
from stages.common.params import Frozen, parse

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Sha1 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$")]
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


class Substitute(Frozen):
    """A file of a mirror that may stand in for an upstream file where no network is."""

    mirror_name: FileName
    """Its name in the mirror's folder."""
    sha256: Sha256
    reason: str
    """In what it differs from the upstream file."""
    facts: dict[str, Any] = Field(default_factory=dict)
    """Facts that hold of it in place of the manifest's, by top-level key."""


class File(Frozen):
    """One upstream file, pinned by the hash of its content."""

    name: FileName
    """Its name upstream, in a mirror and in ``data/raw``."""
    sha256: Sha256 | None = None
    git_blob: Sha1 | None = None
    """Git's id of the content: the pin where upstream's tree is known but no one's sha256 is."""
    bytes: int | None = Field(default=None, ge=0)
    substitutes: tuple[Substitute, ...] = ()

    @model_validator(mode="after")
    def _one_pin(self) -> File:
        if (self.sha256 is None) == (self.git_blob is None):
            raise ValueError("give exactly one of 'sha256' and 'git_blob'")
        return self

    @property
    def pin(self) -> str:
        """The expected hash, with its kind: ``sha256 <hex>`` or ``git blob <hex>``."""
        return f"sha256 {self.sha256}" if self.sha256 else f"git blob {self.git_blob}"

    def hash_of(self, path: Path) -> str:
        """The hash of a file on disk, of the same kind and form as ``pin``."""
        return f"sha256 {sha256_file(path)}" if self.sha256 else f"git blob {git_blob_id(path)}"


class Origin(Frozen):
    """One upstream repository at a pinned commit, and the files taken from it."""

    repository: str
    commit: Sha1
    licence: str
    address: str
    """Address of the folder that holds the files; names the commit, so that it always means the same."""
    files: tuple[File, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _pinned_address(self) -> Origin:
        parts = urlsplit(self.address)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL_HOSTS):
            raise ValueError(f"address must be https: {self.address}")
        if self.commit not in parts.path.split("/"):
            raise ValueError(f"address does not name the commit {self.commit}: {self.address}")
        return self

    def url(self, file: File) -> str:
        """Address of one of the files."""
        return f"{self.address}/{file.name}"


class Source(Frozen):
    """A source manifest, ``data/sources/<name>.yaml``."""

    title: str
    citation: str
    folder: FileName
    """Folder of the files in a mirror."""
    origins: tuple[Origin, ...] = Field(min_length=1)
    facts: dict[str, Any] = Field(default_factory=dict)
    """What is known of the files (counts, oddities); the benchmark's checks hold the data to it."""

    @model_validator(mode="after")
    def _distinct_names(self) -> Source:
        names = [file.name for origin in self.origins for file in origin.files]
        if len(set(names)) < len(names):
            raise ValueError("two files have the same name")
        return self


def load_source(path: Path | str) -> Source:
    """Read and check a source manifest.

    Raises:
        ParamsError: The manifest is missing, is not YAML, or a key or value is not allowed.
    """
    path = Path(path)
    if not path.is_file():
        raise ParamsError("no such source manifest", where=path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"not valid YAML: {error}", where=path) from error
    return parse(Source, raw, where=str(path))

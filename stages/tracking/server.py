"""Reaching the tracking store: at once or not at all, and never a half-made database."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import requests

from stages.common.errors import ProjectError
from stages.common.files import atomic_path

DEFAULT_DATABASE = "mlflow.db"
_SECONDS = 5
_DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_FIX = f"start it, or unset MLFLOW_TRACKING_URI to log into {DEFAULT_DATABASE}"


class TrackingError(ProjectError):
    """The tracking store cannot be reached, or refuses what it is given."""


def shown(uri: str) -> str:
    """The address without its user and password."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.netloc else uri


def prepare(uri: str) -> None:
    """Check that the store answers; make a new sqlite database whole before it takes its name.

    MLflow itself retries an absent server for minutes, and a kill while it creates a
    database leaves one that it then refuses to open.

    Raises:
        TrackingError: Nothing answers there within a few seconds.
    """
    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    if scheme in ("http", "https"):
        try:
            requests.get(uri, timeout=_SECONDS, stream=True).close()
        except (requests.ConnectionError, requests.Timeout) as error:
            raise TrackingError("no MLflow server answers", where=shown(uri), fix=_FIX) from error
    elif scheme in _DATABASE_PORTS and parts.hostname:
        try:
            socket.create_connection((parts.hostname, parts.port or _DATABASE_PORTS[scheme]), _SECONDS).close()
        except OSError as error:
            raise TrackingError(f"no database answers: {error}", where=shown(uri), fix=_FIX) from error
    elif scheme == "sqlite" and (path := parts.path.removeprefix("/")) and not Path(path).exists():
        _create(Path(path))


def _create(path: Path) -> None:
    with atomic_path(path) as temporary:
        done = subprocess.run(
            [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{temporary}"],
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}, capture_output=True, text=True, check=False,
        )
        if done.returncode:
            raise TrackingError(f"mlflow could not create the database: {done.stderr.strip()[-500:]}", where=path)

"""Settings every test runs under: no hub, no telemetry, one thread."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    DVC_NO_ANALYTICS="1",
    MLFLOW_DISABLE_TELEMETRY="true",
    TOKENIZERS_PARALLELISM="false",
    OMP_NUM_THREADS="1",
)

# The same examples in every run, and no time limit for one: machines differ, and may be shared.
settings.register_profile("everywhere", deadline=None, derandomize=True)
settings.load_profile("everywhere")

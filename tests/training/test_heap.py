"""What is freed stays with the process, so that the next large array costs no page faults."""

import os
import subprocess
import sys

FAULTS = """
import resource
import numpy as np
from stages.training.heap import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(12_000_000)  # 96 MB, 23,438 pages of 4 kB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

default = faults()
told = keep_freed_memory()
np.ones(12_000_000)
print(told, default, faults())
"""


def test_large_arrays_are_had_again_without_page_faults():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    told, default, kept = done.stdout.split()
    glibc = sys.platform.startswith("linux") and "glibc" in (os.confstr("CS_GNU_LIBC_VERSION") or "")
    assert told == str(glibc)
    if glibc:
        assert int(kept) < int(default) / 20

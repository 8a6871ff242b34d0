"""The description of the machine that times belong to."""

import torch

from stages.bench import machine
from stages.bench.machine import describe_machine

CPUINFO = """processor\t: 0
model name\t: Some CPU 3000
flags\t\t: fpu avx2 avx512f avx512_vnni sse

processor\t: 1
model name\t: Other
flags\t\t: amx_int8
"""


def test_what_linux_says_of_the_first_processor(tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    file.write_text(CPUINFO)
    monkeypatch.setattr(machine, "_CPU", file)
    found = describe_machine()
    assert found["cpu"] == "Some CPU 3000"
    assert found["instructions"] == ["avx2", "avx512", "vnni"]
    assert found["threads"] == torch.get_num_threads()
    assert found["torch"] == torch.__version__


def test_a_system_that_does_not_list_instructions(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CPU", tmp_path / "none")
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    assert (describe_machine()["cpu"], describe_machine()["instructions"]) == ("unknown", None)

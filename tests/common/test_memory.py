"""Peak memory from a point in time on."""

import mmap

from stages.common.memory import peak_memory, reset_peak_memory

SIZE = 256 * 2**20


def test_the_peak_is_of_what_was_resident_since_the_reset():
    reset_peak_memory()
    before = peak_memory()
    with mmap.mmap(-1, SIZE) as pages:
        for start in range(0, SIZE, mmap.PAGESIZE):
            pages[start] = 1
    assert 0.95 * SIZE < peak_memory() - before < 1.1 * SIZE  # it is given back, and was the most there was
    reset_peak_memory()
    assert abs(peak_memory() - before) < 0.1 * SIZE


def test_where_nothing_can_be_reset_the_peak_is_the_processs(monkeypatch, tmp_path):
    most = peak_memory()
    monkeypatch.setattr("stages.common.memory._RESET", tmp_path / "no such folder" / "clear_refs")
    monkeypatch.setattr("stages.common.memory._STATUS", tmp_path / "status")
    reset_peak_memory()
    assert peak_memory() >= most - 2**20

"""Packing of codes into bytes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.compression.packing import pack_bits, packed_size, unpack_bits


@given(st.integers(1, 16), st.data())
def test_codes_come_back(bits, data):
    codes = torch.tensor(data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=1, max_size=40)), dtype=torch.int32)
    packed = pack_bits(codes, bits)
    assert packed.dtype == torch.uint8
    assert packed.numel() == packed_size(codes.numel(), bits)
    assert unpack_bits(packed, bits, codes.numel()).tolist() == codes.tolist()


@pytest.mark.parametrize("bits", range(1, 17))
def test_eight_codes_of_b_bits_take_b_bytes(bits):
    assert packed_size(8, bits) == bits


def test_layout_of_four_bits():
    # Two bytes for four codes: byte 0 holds codes 0 and 2, byte 1 holds codes 1 and 3, low half first.
    assert pack_bits(torch.tensor([1, 2, 3, 4]), 4).tolist() == [1 + 3 * 16, 2 + 4 * 16]


def test_layout_of_five_bits():
    # 21 = 0b10101: the low four bits 0101 in the first plane, the high bit in the second.
    assert pack_bits(torch.tensor([21, 6]), 5).tolist() == [5 + 6 * 16, 1]

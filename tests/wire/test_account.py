"""The account table's record."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hft import wire
from hft.wire import account

u64 = st.integers(0, 2**64 - 1)


@given(u64, u64, st.binary(min_size=32, max_size=32), u64, st.integers(-(2**63), 2**63 - 1), st.binary())
def test_an_account_round_trips(
    slot: int, version: int, owner: bytes, lamports: int, received: int, data: bytes
) -> None:
    record = account.pack(slot, version, owner, lamports, received, data)
    assert account.unpack(record) == (slot, version, owner, lamports, received, data)
    assert account.unpack(memoryview(record)).data == data
    assert account.slot_of(record) == slot
    assert len(record) == account.HEADER_BYTES + len(data)


@pytest.mark.parametrize(
    ("cut", "code"), [(slice(0, 71), "truncated"), (slice(0, 74), "truncated"), (slice(0, 0), "truncated")]
)
def test_row_04_a_cut_account_record_is_refused(cut: slice, code: str) -> None:
    record = account.pack(1, 2, bytes(32), 3, 4, b"data")
    with pytest.raises(wire.WireError) as caught:
        account.unpack(record[cut])
    assert caught.value.code == code


def test_row_04_an_account_record_with_more_than_its_data_is_refused() -> None:
    with pytest.raises(wire.WireError) as caught:
        account.unpack(account.pack(1, 2, bytes(32), 3, 4, b"data") + b"\0")
    assert caught.value.code is wire.WireErrorCode.OVERSIZE


def test_values_that_do_not_fit_are_refused_by_name() -> None:
    with pytest.raises(wire.WireError, match=r"account\.owner: 31 bytes"):
        account.pack(1, 2, bytes(31), 3, 4, b"")
    with pytest.raises(wire.WireError, match="slot -1"):
        account.pack(-1, 2, bytes(32), 3, 4, b"")
    with pytest.raises(wire.WireError, match="71 bytes; must be 72"):
        account.slot_of(bytes(71))

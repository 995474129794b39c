"""Lookup tables: real ones, their refresh, and everything row 18 refuses before a byte is sent."""

import gzip
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from chain_pools import order_of, pools_by_venue, route_table, table_form
from hypothesis import given
from hypothesis import strategies as st
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from hft.chain.keys import paper_keypair
from hft.chain.lookup import (
    ACTIVE,
    LOOKUP_TABLE_PROGRAM,
    REFRESH_SLOTS,
    LookupTable,
    TableCache,
    TableError,
    TableErrorCode,
    check_table,
    encode_table,
    parse_table,
)
from hft.chain.message import MessageError, parse_message, split_transaction
from hft.chain.tips import TIP_ACCOUNTS
from hft.chain.transaction import (
    TransactionError,
    TransactionErrorCode,
    TwoHop,
    build_two_hop,
    check_transaction,
    sign,
)
from hft.venues import Account, Venue

PAYER = paper_keypair(1)
USER = PAYER.pubkey()
BLOCKHASH = bytes(range(32))
BLOCKHASH_OF = Hash(BLOCKHASH)
KEYS = tuple(bytes([number] * 32) for number in range(1, 6))
NAME = bytes([200] * 32)


def account(**changes: Any) -> Account:
    return Account(LOOKUP_TABLE_PROGRAM, encode_table(KEYS, **changes), 10**7)


@pytest.fixture(scope="module")
def order(shared_data: Path) -> TwoHop:
    pools = pools_by_venue(shared_data)
    return order_of(pools[Venue.WHIRLPOOL], pools[Venue.METEORA_DLMM])


def test_real_tables_are_read_and_written_back(shared_data: Path) -> None:
    with gzip.open(shared_data / "accounts" / "alt" / "tables.json.gz") as file:
        rows = json.load(file)["accounts"]
    found = []
    for row in rows:
        key, data = bytes(Pubkey.from_string(row["pubkey"])), b64decode(row["data_base64"])
        table = parse_table(key, Account(bytes(Pubkey.from_string(row["owner"])), data, 1), 10**9)
        assert table.active
        check_table(table, 10**9)
        found.append(len(table.addresses))
        written = encode_table(
            table.addresses,
            last_extended_slot=table.last_extended_slot,
            last_extended_start_index=table.last_extended_start_index,
            authority=table.authority,
        )
        assert (written[:54], written[56:]) == (data[:54], data[56:])
    assert sorted(found) == [131, 235, 253]


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (None, TableErrorCode.UNKNOWN),
        (Account(LOOKUP_TABLE_PROGRAM, b"", 0), TableErrorCode.UNKNOWN),
        (account()._replace(owner=bytes(32)), TableErrorCode.WRONG_OWNER),
        (account()._replace(data=account().data[:-1]), TableErrorCode.MALFORMED),
        (account()._replace(data=account().data[:50]), TableErrorCode.MALFORMED),
        (account()._replace(data=bytes(4) + account().data[4:]), TableErrorCode.MALFORMED),
        (account(last_extended_start_index=6), TableErrorCode.MALFORMED),
        (account()._replace(data=bytes(56 + 257 * 32)), TableErrorCode.MALFORMED),
    ],
)
def test_row_18_what_is_no_lookup_table_is_refused(found: Account | None, code: TableErrorCode) -> None:
    with pytest.raises(TableError) as caught:
        parse_table(NAME, found, 1)
    assert caught.value.code is code


@pytest.mark.parametrize(
    ("changes", "slot", "code"),
    [
        ({}, 100, None),
        ({"deactivation_slot": 99}, 100, TableErrorCode.DEACTIVATED),
        ({"deactivation_slot": ACTIVE - 1}, 100, TableErrorCode.DEACTIVATED),
        ({"last_extended_slot": 101}, 100, TableErrorCode.JUST_EXTENDED),
        ({"last_extended_slot": 100}, 100, TableErrorCode.JUST_EXTENDED),
        ({"last_extended_slot": 99}, 100, None),
        ({}, 100 + REFRESH_SLOTS, None),
        ({}, 101 + REFRESH_SLOTS, TableErrorCode.STALE),
    ],
)
def test_row_18_a_table_that_cannot_be_used_now_is_refused(
    changes: dict[str, int], slot: int, code: TableErrorCode | None
) -> None:
    table = parse_table(NAME, account(**changes), 100)
    cache = TableCache([NAME])
    cache.update({NAME: account(**changes)}, 100)
    assert len(cache.usable(slot)) == (code is None)
    if code is None:
        check_table(table, slot)
        return
    with pytest.raises(TableError) as caught:
        check_table(table, slot)
    assert caught.value.code is code


def test_the_cache_asks_for_what_is_due_and_counts_changes() -> None:
    cache = TableCache([NAME])
    assert cache.due(0) == (NAME,)
    with pytest.raises(TableError, match="never read"):
        cache[NAME]
    cache.update({NAME: account()}, 100)
    assert (cache.due(100), cache.version, cache[NAME].addresses) == ((), 1, KEYS)
    assert cache.due(100 + REFRESH_SLOTS // 2 + 1) == (NAME,)
    cache.update({NAME: account()}, 180)
    assert (cache.version, cache[NAME].read_slot) == (1, 180)
    cache.update({NAME: account(deactivation_slot=5)}, 170)  # older than what is at hand
    assert cache[NAME].active
    cache.update({NAME: account(deactivation_slot=185)}, 190)
    assert (cache.version, cache.usable(190)) == (2, ())
    cache.update({NAME: None}, 191)  # closed
    assert (cache.version, cache.due(191)) == (3, (NAME,))
    with pytest.raises(TableError, match="there is no lookup table"):
        cache[NAME]
    other = bytes([201] * 32)
    cache.update({other: account()}, 192)
    assert cache.tables() == {}
    cache.add(other)
    cache.update({other: account()}, 192)
    assert set(cache.tables()) == {other}


def test_a_table_with_a_tip_account_is_not_used() -> None:
    held = Account(LOOKUP_TABLE_PROGRAM, encode_table([*KEYS, TIP_ACCOUNTS[3]]), 1)
    cache = TableCache([NAME])
    cache.update({NAME: held}, 5)
    assert cache.usable(6) == ()
    with pytest.raises(TableError) as caught:
        check_table(cache[NAME], 6)
    assert caught.value.code is TableErrorCode.TIP_ACCOUNT


def code_of(data: bytes, tables: dict[bytes, LookupTable], slot: int = 100) -> TransactionErrorCode | None:
    try:
        check_transaction(data, tables, slot)
    except TransactionError as error:
        return error.code
    return None


def signed(order: TwoHop, *forms: AddressLookupTableAccount) -> bytes:
    return build_two_hop(order, PAYER, BLOCKHASH, tables=forms).data


def test_row_18_signed_bytes_are_judged_by_the_tables_as_they_are_now(order: TwoHop) -> None:
    key, found = route_table(order, USER)
    data = signed(order, table_form(key, found))
    assert key in data

    def judged(**changes: Any) -> TransactionErrorCode | None:
        return code_of(data, {key: parse_table(key, route_table(order, USER, **changes)[1], 99)})

    refused = TransactionErrorCode.LOOKUP_TABLE
    assert judged() is None
    assert judged(deactivation_slot=98) is refused
    assert judged(last_extended_slot=100) is refused
    assert code_of(data, {}) is refused
    table = parse_table(key, found, 99)
    assert code_of(data, {key: table._replace(addresses=table.addresses[:3])}) is refused
    assert code_of(data, {key: table}, 99 + REFRESH_SLOTS + 1) is refused
    assert code_of(data, {key: table._replace(addresses=(TIP_ACCOUNTS[0],) * 256)}) is (
        TransactionErrorCode.TIP_THROUGH_TABLE
    )
    # It holds a tip account that this transaction does not load: no matter.
    assert code_of(data, {key: table._replace(addresses=(*table.addresses, TIP_ACCOUNTS[0]))}) is None
    assert code_of(signed(order), {}) is None


def test_row_18_a_tip_account_through_a_table_is_not_built(order: TwoHop) -> None:
    form = AddressLookupTableAccount(Pubkey(NAME), [Pubkey(key) for key in TIP_ACCOUNTS])
    with pytest.raises(TransactionError) as caught:
        signed(order, form)
    assert caught.value.code is TransactionErrorCode.TIP_THROUGH_TABLE


def by_hand(instructions: list[Instruction]) -> bytes:
    """Signed bytes that nobody checked."""
    message = MessageV0.try_compile(USER, instructions, [], BLOCKHASH_OF)
    return bytes(VersionedTransaction(message, [PAYER]))


def paid(to: bytes, lamports: int) -> Instruction:
    return transfer(TransferParams(from_pubkey=USER, to_pubkey=Pubkey(to), lamports=lamports))


def test_row_18_foreign_bytes_are_judged_too(order: TwoHop) -> None:
    assert code_of(by_hand([paid(TIP_ACCOUNTS[0], 1000)]), {}) is None
    assert code_of(by_hand([paid(KEYS[0], 1)]), {}) is None
    assert code_of(by_hand([paid(TIP_ACCOUNTS[0], 999)]), {}) is TransactionErrorCode.TIP_TOO_SMALL
    many = [paid(bytes([9, number] * 16), 1) for number in range(35)]
    assert code_of(by_hand(many), {}) is TransactionErrorCode.TOO_LARGE
    data = signed(order)
    for spoilt in (
        data[:-1],
        data + b"\0",
        data[:65] + b"\x81" + data[66:],
        b"\0" + data[65:],
        b"",
        b"\xff" * 70,
    ):
        assert code_of(spoilt, {}) is TransactionErrorCode.MALFORMED
    with pytest.raises(TransactionError) as caught:
        sign(
            [Instruction(Pubkey(KEYS[0]), b"", [AccountMeta(Pubkey(KEYS[1]), True, True)])], PAYER, BLOCKHASH
        )
    assert caught.value.code is TransactionErrorCode.SIGNERS


def test_row_18_more_than_64_locks_through_a_table_are_refused() -> None:
    keys = [Pubkey(bytes([7, number] * 16)) for number in range(70)]
    form = AddressLookupTableAccount(Pubkey(NAME), keys)
    wide = Instruction(Pubkey(KEYS[0]), b"", [AccountMeta(key, False, True) for key in keys])
    with pytest.raises(TransactionError) as caught:
        sign([wide], PAYER, BLOCKHASH, tables=(form,))
    assert caught.value.code is TransactionErrorCode.TOO_MANY_ACCOUNTS
    message = to_bytes_versioned(MessageV0.try_compile(USER, [wide], [form], BLOCKHASH_OF))
    table = LookupTable(NAME, ACTIVE, 0, 0, None, tuple(bytes(key) for key in keys), 99)
    assert code_of(b"\x01" + bytes(64) + message, {NAME: table}) is TransactionErrorCode.TOO_MANY_ACCOUNTS


def test_the_layout_is_what_solders_reads(order: TwoHop) -> None:
    key, found = route_table(order, USER)
    data = signed(order, table_form(key, found))
    signatures, message = split_transaction(data)
    theirs = VersionedTransaction.from_bytes(data)
    layout = parse_message(message)
    assert signatures == tuple(bytes(signature) for signature in theirs.signatures)
    assert layout.keys == tuple(bytes(account) for account in theirs.message.account_keys)
    assert message[layout.blockhash_at : layout.blockhash_at + 32] == BLOCKHASH
    assert [
        (call.program, call.accounts, message[call.data_at : call.data_at + call.data_length])
        for call in layout.instructions
    ] == [(ix.program_id_index, bytes(ix.accounts), bytes(ix.data)) for ix in theirs.message.instructions]
    assert [(use.table, use.writable, use.readonly) for use in layout.tables] == [
        (bytes(use.account_key), bytes(use.writable_indexes), bytes(use.readonly_indexes))
        for use in theirs.message.address_table_lookups
    ]


@given(st.binary(max_size=400))
def test_row_18_random_bytes_are_no_message_and_no_crash(data: bytes) -> None:
    for head in (b"", b"\x80", b"\x80\x01\0\x01\x02"):
        try:
            layout = parse_message(head + data)
        except MessageError:
            continue
        assert layout.keys

"""The two-hop transaction: one atomic v0 transaction that swaps there and back and pays the tip.

    0 compute-unit limit | 1 compute-unit price | 2 swap on pool 1 | 3 swap on pool 2 | 4 tip transfer

Where token accounts have to be made or SOL wrapped, that stands before the swaps, and what closes them behind
the swaps (see ``swap_indexes``).

The second swap's minimum-out is the on-chain guard of the profit: below it the whole transaction, tip
included, is rolled back and only the network fee is lost. Everything a validator would refuse for its form is
refused here first, with a code: when it is built, and by ``check_transaction`` on the signed bytes of any.
"""

from collections.abc import Mapping, Sequence, Sized
from enum import IntEnum
from typing import Final, NamedTuple

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.system_program import TransferParams, transfer

from hft.chain.accounts import NO_TOKEN_ACCOUNTS, TokenAccounts
from hft.chain.compute import (
    LAMPORTS_PER_SIGNATURE,
    MAX_COMPUTE_UNITS,
    base_fee_lamports,
    priority_fee_lamports,
)
from hft.chain.lookup import LookupTable, TableError, TableErrorCode, check_table
from hft.chain.message import MessageError, MessageLayout, parse_message, split_transaction
from hft.chain.signers import Signer
from hft.chain.tips import MINIMUM_TIP_LAMPORTS, TIP_ACCOUNTS
from hft.venues import Pool, swap_instruction

__all__ = [
    "LAMPORTS_PER_SIGNATURE",
    "MAX_ACCOUNT_LOCKS",
    "MAX_COMPUTE_UNITS",
    "MAX_TRANSACTION_BYTES",
    "SWAP_1_INDEX",
    "SWAP_2_INDEX",
    "SignedTransaction",
    "TransactionError",
    "TransactionErrorCode",
    "TwoHop",
    "base_fee_lamports",
    "build_two_hop",
    "check_order",
    "check_transaction",
    "compile_message",
    "priority_fee_lamports",
    "sign",
    "swap_indexes",
    "swap_instructions",
    "two_hop_instructions",
]

MAX_TRANSACTION_BYTES: Final = 1232
MAX_ACCOUNT_LOCKS: Final = 64
U64_MAX: Final = 2**64 - 1
SWAP_1_INDEX: Final = 2
SWAP_2_INDEX: Final = 3
TRANSFER_TAG: Final = (2).to_bytes(4, "little")

Payer = Keypair | Signer
Tables = Sequence[AddressLookupTableAccount]


class TransactionErrorCode(IntEnum):
    """Why a transaction was refused before anything was signed or sent."""

    TOO_LARGE = 1
    TOO_MANY_ACCOUNTS = 2
    TIP_TOO_SMALL = 3
    TIP_ACCOUNT = 4
    COMPUTE_UNIT_LIMIT = 5
    COMPUTE_UNIT_PRICE = 6
    AMOUNT = 7
    POOLS = 8
    BLOCKHASH = 9
    LOOKUP_TABLE = 10
    TIP_THROUGH_TABLE = 11
    SIGNERS = 12
    MALFORMED = 13


class TransactionError(Exception):
    """A transaction that would be refused or could lose money; the text names the value and what would be
    right."""

    def __init__(self, code: TransactionErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class TwoHop(NamedTuple):
    """What to build. Amounts in base units; ``amount_mid`` is leg 1's minimum-out and leg 2's amount in;
    ``accounts`` is what has to be made, wrapped and closed around the swaps.
    """

    pool_1: Pool
    pool_2: Pool
    base_mint: bytes
    amount_in: int
    amount_mid: int
    minimum_out: int
    compute_unit_limit: int
    compute_unit_price_micro_lamports: int
    tip_lamports: int
    tip_account: bytes
    accounts: TokenAccounts = NO_TOKEN_ACCOUNTS


class SignedTransaction(NamedTuple):
    """Bytes as they go over the wire, and the first signature (64 bytes), by which the chain knows them."""

    data: bytes
    signature: bytes


def two_hop_instructions(order: TwoHop, user: Pubkey) -> list[Instruction]:
    """The instructions of ``order`` for the wallet ``user``. ``TransactionError``, ``QuoteError``."""
    check_order(order)
    return [
        set_compute_unit_limit(order.compute_unit_limit),
        set_compute_unit_price(order.compute_unit_price_micro_lamports),
        *order.accounts.setup,
        *swap_instructions(order, user),
        *order.accounts.cleanup,
        transfer(
            TransferParams(from_pubkey=user, to_pubkey=Pubkey(order.tip_account), lamports=order.tip_lamports)
        ),
    ]


def swap_instructions(order: TwoHop, user: Pubkey) -> tuple[Instruction, Instruction]:
    """The two swaps of ``order``."""
    mid_mint = order.pool_1.mint_b if order.pool_1.mint_a == order.base_mint else order.pool_1.mint_a
    return (
        swap_instruction(order.pool_1, user, order.base_mint, order.amount_in, order.amount_mid),
        swap_instruction(order.pool_2, user, mid_mint, order.amount_mid, order.minimum_out),
    )


def swap_indexes(order: TwoHop) -> tuple[int, int]:
    """Where the two swaps stand among the transaction's instructions."""
    before = len(order.accounts.setup)
    return SWAP_1_INDEX + before, SWAP_2_INDEX + before


def build_two_hop(
    order: TwoHop, payer: Payer, blockhash: bytes, user: Pubkey | None = None, tables: Tables = ()
) -> SignedTransaction:
    """Builds and signs the transaction; the same order, payer, blockhash and tables give the same bytes.

    ``user``: the payer's own key where it is at hand; deriving it costs as much as a signature.
    ``TransactionError`` for whatever would be refused: see ``TransactionErrorCode``. ``QuoteError`` or
    ``PoolError`` if a venue can't build its instruction.
    """
    return _signed(compile_two_hop(order, user or _key_of(payer), blockhash, tables), payer)


def compile_two_hop(order: TwoHop, user: Pubkey, blockhash: bytes, tables: Tables = ()) -> bytes:
    """The v0 message of ``order``; errors as ``build_two_hop``.

    Its keys stand as the compiler orders them for the first tip account, whose place the order's own takes:
    so a route has one layout, whomever it tips.
    """
    check_order(order)
    first = TIP_ACCOUNTS[0]
    message = compile_message(
        two_hop_instructions(order._replace(tip_account=first), user), user, blockhash, tables
    )
    return message.replace(first, order.tip_account, 1)


def sign(
    instructions: Sequence[Instruction],
    payer: Payer,
    blockhash: bytes,
    user: Pubkey | None = None,
    tables: Tables = (),
) -> SignedTransaction:
    """Compiles ``instructions`` into a v0 message and signs it.

    ``TransactionError``: TOO_MANY_ACCOUNTS (over 64 locks), TOO_LARGE (over 1232 bytes), BLOCKHASH,
    TIP_THROUGH_TABLE, SIGNERS (it asks for more signatures than the payer's).
    """
    return _signed(compile_message(instructions, user or _key_of(payer), blockhash, tables), payer)


def _signed(message: bytes, payer: Payer) -> SignedTransaction:
    signature = bytes(payer.sign_message(message)) if isinstance(payer, Keypair) else payer.sign(message)
    return SignedTransaction(b"\x01" + signature + message, signature)


def compile_message(
    instructions: Sequence[Instruction], payer: Pubkey, blockhash: bytes, tables: Tables = ()
) -> bytes:
    """The v0 message that ``payer`` alone signs, by solders' own compiler, checked as ``sign`` says."""
    if len(blockhash) != 32:
        raise TransactionError(
            TransactionErrorCode.BLOCKHASH, f"blockhash of {len(blockhash)} bytes: 32 belong there"
        )
    message = MessageV0.try_compile(payer, list(instructions), list(tables), Hash(blockhash))
    if message.header.num_required_signatures != 1:
        raise TransactionError(
            TransactionErrorCode.SIGNERS,
            f"transaction wants {message.header.num_required_signatures} signatures: the payer's is here",
        )
    body = to_bytes_versioned(message)
    layout = parse_message(body)
    _check_locks(layout)
    _check_size(len(body) + 65, tables)
    _check_loaded(layout, {bytes(table.key): [bytes(key) for key in table.addresses] for table in tables})
    return body


def check_transaction(data: bytes, tables: Mapping[bytes, LookupTable], slot: int) -> None:
    """Refuses signed bytes that a validator or the block engine would refuse for their form.

    ``tables`` are the lookup tables as last read, ``slot`` the current one. ``TransactionError``: TOO_LARGE,
    MALFORMED, TOO_MANY_ACCOUNTS, LOOKUP_TABLE (unknown, deactivated, just extended, stale, index beyond its
    end), TIP_THROUGH_TABLE, TIP_TOO_SMALL.
    """
    _check_size(len(data), tables)
    try:
        signatures, message = split_transaction(data)
        layout = parse_message(message)
        if len(signatures) != layout.signatures:
            raise MessageError(f"{len(signatures)} signatures where {layout.signatures} belong")
    except MessageError as error:
        raise TransactionError(TransactionErrorCode.MALFORMED, str(error)) from None
    _check_locks(layout)
    addresses = {}
    for use in layout.tables:
        table = tables.get(use.table)
        if table is None:
            raise TransactionError(
                TransactionErrorCode.LOOKUP_TABLE, f"lookup table {Pubkey(use.table)} was never read"
            )
        try:
            check_table(table, slot)
        except TableError as error:
            # A table may hold a tip account that this transaction does not load: that is looked at below.
            if error.code is not TableErrorCode.TIP_ACCOUNT:
                raise TransactionError(TransactionErrorCode.LOOKUP_TABLE, str(error)) from None
        addresses[use.table] = table.addresses
    _check_loaded(layout, addresses)
    _check_tips(layout, message)


def check_order(order: TwoHop) -> None:
    """``TransactionError`` if a figure of ``order`` is out of its range or its pools don't fit together."""
    if order.tip_lamports < MINIMUM_TIP_LAMPORTS:
        raise TransactionError(
            TransactionErrorCode.TIP_TOO_SMALL,
            f"tip of {order.tip_lamports} lamports: the block engine wants at least {MINIMUM_TIP_LAMPORTS}",
        )
    if order.tip_account not in TIP_ACCOUNTS:
        raise TransactionError(
            TransactionErrorCode.TIP_ACCOUNT,
            f"{order.tip_account.hex()} is no tip account: one of the {len(TIP_ACCOUNTS)} belongs there",
        )
    if not 0 < order.compute_unit_limit <= MAX_COMPUTE_UNITS:
        raise TransactionError(
            TransactionErrorCode.COMPUTE_UNIT_LIMIT,
            f"compute-unit limit {order.compute_unit_limit}: 1 to {MAX_COMPUTE_UNITS} belongs there",
        )
    if not 0 <= order.compute_unit_price_micro_lamports <= U64_MAX:
        raise TransactionError(
            TransactionErrorCode.COMPUTE_UNIT_PRICE,
            f"compute-unit price {order.compute_unit_price_micro_lamports} micro-lamports does not fit 64 "
            "bits",
        )
    for name, amount in (
        ("amount_in", order.amount_in),
        ("amount_mid", order.amount_mid),
        ("minimum_out", order.minimum_out),
    ):
        if not 0 < amount <= U64_MAX:
            raise TransactionError(
                TransactionErrorCode.AMOUNT, f"{name} {amount}: 1 to {U64_MAX} base units belongs there"
            )
    _check_pools(order)


def _check_size(size: int, tables: Sized) -> None:
    if size > MAX_TRANSACTION_BYTES:
        how = "with the lookup tables at hand" if tables else "without a lookup table"
        raise TransactionError(
            TransactionErrorCode.TOO_LARGE,
            f"transaction of {size} bytes {how}: at most {MAX_TRANSACTION_BYTES} fit",
        )


def _check_locks(layout: MessageLayout) -> None:
    if layout.locks > MAX_ACCOUNT_LOCKS:
        raise TransactionError(
            TransactionErrorCode.TOO_MANY_ACCOUNTS,
            f"transaction names {layout.locks} accounts: a validator locks at most {MAX_ACCOUNT_LOCKS}",
        )


def _check_loaded(layout: MessageLayout, addresses: Mapping[bytes, Sequence[bytes]]) -> None:
    for use in layout.tables:
        held = addresses.get(use.table, ())
        for index in use.writable + use.readonly:
            if index >= len(held):
                raise TransactionError(
                    TransactionErrorCode.LOOKUP_TABLE,
                    f"index {index} of lookup table {Pubkey(use.table)}, which holds {len(held)} addresses",
                )
            if held[index] in TIP_ACCOUNTS:
                raise TransactionError(
                    TransactionErrorCode.TIP_THROUGH_TABLE,
                    f"tip account {Pubkey(held[index])} is loaded through lookup table {Pubkey(use.table)}: "
                    "it must be among the transaction's own keys",
                )


def _check_tips(layout: MessageLayout, message: bytes) -> None:
    """Each top-level transfer to a tip account must reach the minimum."""
    keys = layout.keys
    for call in layout.instructions:
        data = message[call.data_at : call.data_at + call.data_length]
        if keys[call.program] != bytes(SYSTEM_PROGRAM) or len(data) != 12 or data[:4] != TRANSFER_TAG:
            continue
        to = call.accounts[1] if len(call.accounts) > 1 else len(keys)
        lamports = int.from_bytes(data[4:], "little")
        if to < len(keys) and keys[to] in TIP_ACCOUNTS and lamports < MINIMUM_TIP_LAMPORTS:
            raise TransactionError(
                TransactionErrorCode.TIP_TOO_SMALL,
                f"tip of {lamports} lamports: the block engine wants at least {MINIMUM_TIP_LAMPORTS}",
            )


def _key_of(payer: Payer) -> Pubkey:
    return payer.pubkey() if isinstance(payer, Keypair) else Pubkey(payer.public_key)


def _check_pools(order: TwoHop) -> None:
    pair_1 = {order.pool_1.mint_a, order.pool_1.mint_b}
    pair_2 = {order.pool_2.mint_a, order.pool_2.mint_b}
    names = f"{Pubkey(order.pool_1.key)} and {Pubkey(order.pool_2.key)}"
    if order.pool_1.key == order.pool_2.key:
        raise TransactionError(
            TransactionErrorCode.POOLS, f"both legs on {Pubkey(order.pool_1.key)}: two pools belong"
        )
    if pair_1 != pair_2 or order.base_mint not in pair_1:
        raise TransactionError(
            TransactionErrorCode.POOLS,
            f"pools {names} do not both trade {Pubkey(order.base_mint)} for one token",
        )

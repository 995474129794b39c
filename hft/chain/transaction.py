"""The two-hop transaction: one atomic v0 transaction that swaps there and back and pays the tip.

    0 compute-unit limit | 1 compute-unit price | 2 swap on pool 1 | 3 swap on pool 2 | 4 tip transfer

The second swap's minimum-out is the on-chain guard of the profit: below it the whole transaction, tip
included, is rolled back and only the network fee is lost. Everything a validator would refuse for its form is
refused here first, with a code.
"""

from enum import IntEnum
from typing import Final, NamedTuple

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from hft.chain.tips import MINIMUM_TIP_LAMPORTS, TIP_ACCOUNTS
from hft.venues import Pool, swap_instruction

MAX_TRANSACTION_BYTES: Final = 1232
MAX_ACCOUNT_LOCKS: Final = 64
MAX_COMPUTE_UNITS: Final = 1_400_000
LAMPORTS_PER_SIGNATURE: Final = 5000
U64_MAX: Final = 2**64 - 1
SWAP_1_INDEX: Final = 2
SWAP_2_INDEX: Final = 3


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


class TransactionError(Exception):
    """A transaction that would be refused or could lose money; the text names the value and what would be
    right."""

    def __init__(self, code: TransactionErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class TwoHop(NamedTuple):
    """What to build. Amounts in base units; ``amount_mid`` is leg 1's minimum-out and leg 2's amount in."""

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


class SignedTransaction(NamedTuple):
    """Bytes as they go over the wire, and the first signature (64 bytes), by which the chain knows them."""

    data: bytes
    signature: bytes


def base_fee_lamports(signatures: int = 1) -> int:
    """Fee for the signatures of a transaction."""
    return LAMPORTS_PER_SIGNATURE * signatures


def priority_fee_lamports(compute_unit_limit: int, price_micro_lamports: int) -> int:
    """ceil(price × *requested* limit / 10^6): the limit asked for is paid, not the units used."""
    return -(-price_micro_lamports * compute_unit_limit // 1_000_000)


def build_two_hop(
    order: TwoHop, payer: Keypair, blockhash: bytes, user: Pubkey | None = None
) -> SignedTransaction:
    """Builds and signs the transaction; the same order, payer and blockhash give the same bytes.

    ``user``: the payer's own key where it is at hand; deriving it costs as much as a signature.
    ``TransactionError`` for whatever would be refused: see ``TransactionErrorCode``. ``QuoteError`` or
    ``PoolError`` if a venue can't build its instruction.
    """
    _check(order, blockhash)
    user = user or payer.pubkey()
    mid_mint = order.pool_1.mint_b if order.pool_1.mint_a == order.base_mint else order.pool_1.mint_a
    instructions = [
        set_compute_unit_limit(order.compute_unit_limit),
        set_compute_unit_price(order.compute_unit_price_micro_lamports),
        swap_instruction(order.pool_1, user, order.base_mint, order.amount_in, order.amount_mid),
        swap_instruction(order.pool_2, user, mid_mint, order.amount_mid, order.minimum_out),
        transfer(
            TransferParams(from_pubkey=user, to_pubkey=Pubkey(order.tip_account), lamports=order.tip_lamports)
        ),
    ]
    return sign(instructions, payer, blockhash, user)


def sign(
    instructions: list[Instruction], payer: Keypair, blockhash: bytes, user: Pubkey | None = None
) -> SignedTransaction:
    """Compiles ``instructions`` into a v0 message without lookup tables and signs it.

    ``TransactionError``: TOO_MANY_ACCOUNTS (over 64 locks), TOO_LARGE (over 1232 bytes), BLOCKHASH.
    """
    if len(blockhash) != 32:
        raise TransactionError(
            TransactionErrorCode.BLOCKHASH, f"blockhash of {len(blockhash)} bytes: 32 belong there"
        )
    message = MessageV0.try_compile(user or payer.pubkey(), instructions, [], Hash(blockhash))
    accounts = len(message.account_keys)
    if accounts > MAX_ACCOUNT_LOCKS:
        raise TransactionError(
            TransactionErrorCode.TOO_MANY_ACCOUNTS,
            f"transaction names {accounts} accounts: a validator locks at most {MAX_ACCOUNT_LOCKS}",
        )
    body = to_bytes_versioned(message)
    if message.header.num_required_signatures == 1:
        # VersionedTransaction derives and compares the key first, which costs twice the signature itself.
        signature = bytes(payer.sign_message(body))
        data = b"\x01" + signature + body
    else:
        transaction = VersionedTransaction(message, [payer])
        data, signature = bytes(transaction), bytes(transaction.signatures[0])
    if len(data) > MAX_TRANSACTION_BYTES:
        raise TransactionError(
            TransactionErrorCode.TOO_LARGE,
            f"transaction of {len(data)} bytes: at most {MAX_TRANSACTION_BYTES} fit without a lookup table",
        )
    return SignedTransaction(data, signature)


def _check(order: TwoHop, blockhash: bytes) -> None:
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

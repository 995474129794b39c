# Made by scripts/codegen from schemas/*.fbs; do not edit.
"""Enums of the schemas; zero says nothing, and is what an absent field reads as."""

from enum import IntEnum


class EndState(IntEnum):
    """How an execution ended. "Submitted" is not an end."""

    UNKNOWN = 0
    """It may have landed or not; nobody could tell."""
    LANDED_OK = 1
    """Landed, and its instructions succeeded."""
    LANDED_FAILED = 2
    """Landed and failed: the fees are gone, the tip and the swaps were rolled back."""
    EXPIRED = 3
    """Can no longer land: the block height passed its last valid one."""
    REJECTED = 4
    """Refused before or at submission; nothing was paid."""


class ExecutionReason(IntEnum):
    """Why an execution did not succeed."""

    NONE = 0
    KILLED = 1
    PLAN_EXPIRED = 2
    SIZE_LIMIT = 3
    RATE_LIMIT = 4
    OPEN_PLANS_LIMIT = 5
    DAILY_LOSS = 6
    TIP_CAP = 7
    FEE_CAP = 8
    WALLET_BALANCE = 9
    BUILD_FAILED = 10
    TRANSACTION_TOO_LARGE = 11
    PROGRAM_ERROR = 12
    MINIMUM_OUT = 13
    SETTLEMENT_UNREACHABLE = 14
    HEARTBEAT_LOST = 15
    DUPLICATE_PLAN = 16
    CORRUPT_PLAN = 17
    NO_BLOCKHASH = 18
    BLOCKHASH_EXPIRED = 19
    TOO_MANY_LOCKS = 20
    LOOKUP_TABLE = 21
    SIMULATION_FAILED = 22
    SEND_FAILED = 23
    SEND_TIMEOUT = 24
    BUNDLE_INVALID = 25
    BUNDLE_FAILED = 26
    STATUS_UNKNOWN = 27
    SHUTDOWN = 28


class KillState(IntEnum):
    """Whether new submissions are allowed. Anything but running means no."""

    UNKNOWN = 0
    RUNNING = 1
    KILLED = 2


class KillTrigger(IntEnum):
    """What set the kill switch."""

    NONE = 0
    MANUAL = 1
    ERROR_RATE = 2
    DRAWDOWN = 3
    RPC_FAILURES = 4
    MEMORY = 5
    HEARTBEAT = 6
    SLOT_DRIFT = 7
    NO_DATA = 8
    UNEXPLAINED_BALANCE = 9
    CORRUPT = 10


class Method(IntEnum):
    """How a signed transaction reaches a leader."""

    UNKNOWN = 0
    LOCAL = 1
    """The local cluster of paper mode."""
    JITO_BUNDLE = 2
    """A Jito block-engine bundle."""
    RPC = 3
    """An RPC node's sendTransaction."""


class PoolDisabledReason(IntEnum):
    """Why a pool is disabled."""

    NONE = 0
    ACCOUNT_MISSING = 1
    WRONG_OWNER = 2
    SHORT_DATA = 3
    WRONG_DISCRIMINATOR = 4
    BAD_STATE = 5
    MINT_MISMATCH = 6
    VAULT_MISMATCH = 7
    SWAPS_DISABLED = 8
    NO_LIQUIDITY = 9
    OVERFLOW = 10
    UNSUPPORTED = 11
    STALE = 12
    REVERTED = 13
    BLACKLISTED = 14


class PoolStatus(IntEnum):
    """Whether a pool may be quoted."""

    UNKNOWN = 0
    ACTIVE = 1
    DISABLED = 2


class RejectReason(IntEnum):
    """Why an opportunity was not planned."""

    NONE = 0
    NOT_PROFITABLE = 1
    BELOW_MINIMUM_PROFIT = 2
    BELOW_MINIMUM_BPS = 3
    LOW_CONFIDENCE = 4
    STALE_DATA = 5
    STALE_SLOTS = 6
    TOO_OLD = 7
    BELOW_MINIMUM_AMOUNT = 8
    ABOVE_MAXIMUM_AMOUNT = 9
    INSUFFICIENT_LIQUIDITY = 10
    WALLET_BALANCE = 11
    SLIPPAGE = 12
    PRICE_IMPACT = 13
    RISK_SCORE = 14
    POOL_DISABLED = 15
    POOL_BLACKLISTED = 16
    QUOTE_FAILED = 17
    DUPLICATE = 18
    KILLED = 19
    COSTS_EXCEED_PROFIT = 20


class Strategy(IntEnum):
    """The shape of trade that an opportunity, a plan or a result belongs to."""

    UNKNOWN = 0
    TWO_HOP = 1
    """A to B on one pool, B to A on another, in one transaction."""
    TRIANGULAR = 2
    """A to B to C to A on three pools, in one transaction."""


class ValidationFactor(IntEnum):
    """The validation factor that refused an opportunity."""

    UNKNOWN = 0
    PROFIT = 1
    CONFIDENCE = 2
    AGE = 3
    AMOUNT = 4
    SLIPPAGE = 5
    RISK = 6


class Venue(IntEnum):
    """A program whose pools are quoted and traded."""

    UNKNOWN = 0
    WHIRLPOOL = 1
    RAYDIUM_V4 = 2
    RAYDIUM_CPMM = 3
    RAYDIUM_CLMM = 4
    METEORA_DLMM = 5
    METEORA_DAMM_V2 = 6

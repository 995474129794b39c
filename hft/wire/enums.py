# Made by scripts/codegen from schemas/*.fbs; do not edit.
"""Enums of the schemas; zero says nothing, and is what an absent field reads as."""

from enum import IntEnum


class ConnectionKind(IntEnum):
    """What a connection speaks."""

    UNKNOWN = 0
    LOCAL = 1
    RPC = 2
    WEBSOCKET = 3
    GEYSER = 4
    JITO = 5
    NATS = 6
    JUPITER = 7


class ConnectionState(IntEnum):
    """Whether a connection can be relied on."""

    UNKNOWN = 0
    CONNECTING = 1
    CONNECTED = 2
    SILENT = 3
    """Open, and nothing comes."""
    BACKING_OFF = 4
    """Backing off after errors."""
    BROKEN = 5
    """Not tried for a while: its circuit breaker is open."""
    CLOSED = 6


class Direction(IntEnum):
    """Whether a service took messages from a link or put them in."""

    UNKNOWN = 0
    INBOUND = 1
    OUTBOUND = 2


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
    JOURNAL_FULL = 29
    DRY_RUN = 30
    FORK_REVERTED = 31
    SIGNING_FAILED = 32


class HealthCheck(IntEnum):
    """What was examined."""

    UNKNOWN = 0
    MEMORY = 1
    CPU = 2
    DISK = 3
    HEARTBEAT = 4
    RING_LAG = 5
    SLOT_DRIFT = 6
    MARKET_DATA = 7
    WALLET = 8
    ERROR_RATE = 9
    RPC_FAILURES = 10
    DRAWDOWN = 11
    JOURNAL = 12
    LEDGER = 13
    STREAMS = 14


class HealthStatus(IntEnum):
    """The examination's result."""

    UNKNOWN = 0
    HEALTHY = 1
    DEGRADED = 2
    FAILED = 3


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


class LifecycleEvent(IntEnum):
    """A step in a service's life."""

    UNKNOWN = 0
    STARTING = 1
    READY = 2
    DRAINING = 3
    STOPPED = 4
    CRASHED = 5
    RESTARTED = 6
    GAVE_UP = 7


class Link(IntEnum):
    """A ring between services."""

    UNKNOWN = 0
    MARKET_DATA = 1
    OPPORTUNITIES = 2
    PLANNED = 3
    EXECUTED = 4
    METRICS = 5
    SYSTEM = 6


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
    OFF_REFERENCE = 15
    """Its price is too far from what the stake pool says the token is worth."""


class PoolStatus(IntEnum):
    """Whether a pool may be quoted."""

    UNKNOWN = 0
    ACTIVE = 1
    DISABLED = 2


class QuoteSource(IntEnum):
    """Where a price comes from."""

    UNKNOWN = 0
    POOL = 1
    """Exact arithmetic on a pool's accounts."""
    JUPITER = 2
    """Jupiter's quote API: a fallback."""
    PYTH = 3
    """A Pyth price account: a sanity reference."""
    STAKE_POOL = 4
    """A stake pool's net asset value: a sanity reference."""


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
    SIMULATION_FAILED = 21


class Service(IntEnum):
    """A process of the pipeline."""

    UNKNOWN = 0
    FEED = 1
    SCANNER = 2
    PLANNER = 3
    EXECUTOR = 4
    MANAGER = 5
    AUDITOR = 6
    SIDECAR = 7
    INITIALIZER = 8
    NOTIFIER = 9
    EVENT_LOGGER = 10
    SIMNET = 11
    SUPERVISOR = 12
    NATS_SERVER = 13


class SlotStatus(IntEnum):
    """How far a slot has come."""

    UNKNOWN = 0
    PROCESSED = 1
    CONFIRMED = 2
    FINALIZED = 3
    DEAD = 4
    """Abandoned: what was read in it must be rolled back."""


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

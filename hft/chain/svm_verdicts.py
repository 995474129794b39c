"""What a failed instruction is called: the venues' own error codes, and the SVM's."""

from typing import Final, NamedTuple

from solders.transaction_status import (
    InstructionErrorCustom,
    TransactionErrorFieldless,
    TransactionErrorInstructionError,
)

from hft.venues import QuoteErrorCode, Venue, minimum_out_error
from hft.venues.registry import BY_VENUE

_TOKEN_INSUFFICIENT_FUNDS: Final = 1


class Verdict(NamedTuple):
    """Custom program error (0: the error has no code) and its name."""

    code: int
    name: str


EXCEEDED: Final = Verdict(0, "ComputationalBudgetExceeded")
OUT_OF_UNITS: Final = frozenset((EXCEEDED.name, "ProgramFailedToComplete"))
"""What a program is told that ran out of compute units: the runtime's own programs, and the others."""
MISSING_SIGNATURE: Final = Verdict(0, "MissingRequiredSignature")
# Anchor's codes for an account that isn't what an instruction wants.
NO_POOL: Final = Verdict(3012, "AccountNotInitialized")
WRONG_ACCOUNT: Final = Verdict(2012, "ConstraintAddress")

# Venues that look at the user's balance before they price: the others let the token program find out (custom
# 1).
_FUNDS: Final[dict[Venue, Verdict]] = {Venue.RAYDIUM_V4: Verdict(40, "InsufficientFunds")}

SHORT_OF_FUNDS: Final = (Venue.RAYDIUM_V4, 40)

_QUOTES: Final[dict[tuple[Venue, QuoteErrorCode], Verdict]] = {
    (Venue.WHIRLPOOL, QuoteErrorCode.BAD_AMOUNT): Verdict(6034, "ZeroTradableAmount"),
    (Venue.WHIRLPOOL, QuoteErrorCode.CLOCK_BEHIND): Verdict(6022, "InvalidTimestamp"),
    (Venue.WHIRLPOOL, QuoteErrorCode.ARRAYS_EXHAUSTED): Verdict(6038, "TickArraySequenceInvalidIndex"),
    (Venue.WHIRLPOOL, QuoteErrorCode.ARRAY_MISSING): Verdict(6038, "TickArraySequenceInvalidIndex"),
    (Venue.RAYDIUM_V4, QuoteErrorCode.BAD_AMOUNT): Verdict(29, "InvalidInput"),
    (Venue.RAYDIUM_V4, QuoteErrorCode.AMOUNT_TOO_SMALL): Verdict(29, "InvalidInput"),
    (Venue.RAYDIUM_V4, QuoteErrorCode.INSUFFICIENT_LIQUIDITY): Verdict(40, "InsufficientFunds"),
    (Venue.RAYDIUM_CPMM, QuoteErrorCode.BAD_AMOUNT): Verdict(2505, "RequireGtViolated"),
    (Venue.RAYDIUM_CPMM, QuoteErrorCode.AMOUNT_TOO_SMALL): Verdict(2505, "RequireGtViolated"),
    (Venue.RAYDIUM_CPMM, QuoteErrorCode.POOL_DISABLED): Verdict(6000, "NotApproved"),
    (Venue.RAYDIUM_CPMM, QuoteErrorCode.NOT_OPEN): Verdict(6000, "NotApproved"),
    (Venue.RAYDIUM_CLMM, QuoteErrorCode.BAD_AMOUNT): Verdict(6026, "TooSmallInputOrOutputAmount"),
    (Venue.RAYDIUM_CLMM, QuoteErrorCode.AMOUNT_TOO_SMALL): Verdict(6026, "TooSmallInputOrOutputAmount"),
    (Venue.RAYDIUM_CLMM, QuoteErrorCode.ARRAY_MISSING): Verdict(6027, "NotEnoughTickArrayAccount"),
    (Venue.RAYDIUM_CLMM, QuoteErrorCode.ARRAYS_EXHAUSTED): Verdict(6027, "NotEnoughTickArrayAccount"),
    (Venue.RAYDIUM_CLMM, QuoteErrorCode.INSUFFICIENT_LIQUIDITY): Verdict(6019, "LiquidityInsufficient"),
    (Venue.METEORA_DLMM, QuoteErrorCode.AMOUNT_TOO_SMALL): Verdict(6039, "InsufficientOutAmount"),
    (Venue.METEORA_DLMM, QuoteErrorCode.ARRAY_MISSING): Verdict(3005, "AccountNotEnoughKeys"),
    (Venue.METEORA_DLMM, QuoteErrorCode.ARRAYS_EXHAUSTED): Verdict(3005, "AccountNotEnoughKeys"),
    (Venue.METEORA_DLMM, QuoteErrorCode.INSUFFICIENT_LIQUIDITY): Verdict(
        6036, "BitmapExtensionAccountIsNotProvided"
    ),
    (Venue.METEORA_DLMM, QuoteErrorCode.POOL_DISABLED): Verdict(6042, "PoolDisabled"),
    (Venue.METEORA_DAMM_V2, QuoteErrorCode.BAD_AMOUNT): Verdict(6006, "AmountIsZero"),
    (Venue.METEORA_DAMM_V2, QuoteErrorCode.POOL_DISABLED): Verdict(6003, "PoolDisabled"),
    (Venue.METEORA_DAMM_V2, QuoteErrorCode.PRICE_LIMIT): Verdict(6015, "PriceRangeViolation"),
    (Venue.METEORA_DAMM_V2, QuoteErrorCode.INSUFFICIENT_LIQUIDITY): Verdict(6015, "PriceRangeViolation"),
}


# What each program logs first, and where an output is below the minimum: (program's line, whether the two
# amounts follow). Source lines are those of the binaries that the recorded logs came from.
INSTRUCTION_LOGS: Final[dict[Venue, str]] = {
    Venue.WHIRLPOOL: "SwapV2",
    Venue.RAYDIUM_CPMM: "SwapBaseInput",
    Venue.RAYDIUM_CLMM: "SwapV2",
    Venue.METEORA_DLMM: "Swap2",
    Venue.METEORA_DAMM_V2: "Swap2",
}
_MINIMUM_LOGS: Final[dict[Venue, tuple[str, bool]]] = {
    Venue.WHIRLPOOL: (
        "AnchorError occurred. Error Code: AmountOutBelowMinimum. Error Number: 6036. "
        "Error Message: Amount out below minimum threshold.",
        False,
    ),
    Venue.RAYDIUM_V4: ("Error: exceeds desired slippage limit", False),
    Venue.RAYDIUM_CPMM: (
        "AnchorError thrown in programs/cp-swap/src/instructions/swap_base_input.rs:186. "
        "Error Code: ExceededSlippage. Error Number: 6005. Error Message: Exceeds desired slippage limit.",
        True,
    ),
    Venue.RAYDIUM_CLMM: (
        "AnchorError thrown in programs/amm/src/instructions/swap_v2.rs:362. "
        "Error Code: TooLittleOutputReceived. Error Number: 6022. "
        "Error Message: Too little output received.",
        True,
    ),
    Venue.METEORA_DLMM: (
        "AnchorError thrown in programs/lb_clmm/src/instructions/v2/swap2.rs:261. "
        "Error Code: ExceededAmountSlippageTolerance. Error Number: 6003. "
        "Error Message: Exceeded amount slippage tolerance.",
        False,
    ),
    Venue.METEORA_DAMM_V2: (
        "AnchorError thrown in programs/cp-amm/src/instructions/swap/swap_exact_in.rs:45. "
        "Error Code: ExceededSlippage. Error Number: 6002. Error Message: Exceeded slippage tolerance.",
        False,
    ),
}


def minimum_lines(venue: Venue, out: int, minimum: int) -> tuple[str, ...]:
    """The log lines of an output below the minimum."""
    line, amounts = _MINIMUM_LOGS[venue]
    lines = (line, f"Left: {out}", f"Right: {minimum}") if amounts else (line,)
    return tuple(f"Program log: {one}" for one in lines)


def minimum_verdict(venue: Venue) -> Verdict:
    """An output below the minimum."""
    code = minimum_out_error(venue)
    return Verdict(code, BY_VENUE[venue].error_names.get(code, "Custom"))


def funds_verdict(venue: Venue) -> Verdict | None:
    """A user who holds less than the amount in; ``None`` where the token program's own error comes
    through."""
    return _FUNDS.get(venue)


def quote_verdict(venue: Venue, code: QuoteErrorCode) -> Verdict:
    """A swap the venue does not price; without a known number the quote's own word for it."""
    return _QUOTES.get((venue, code), Verdict(0, code.name.title().replace("_", "")))


def is_short_of_funds(error: object) -> bool:
    """Whether an SVM error is the token program's "insufficient funds"."""
    inner = error.err if isinstance(error, TransactionErrorInstructionError) else None
    return isinstance(inner, InstructionErrorCustom) and inner.code == _TOKEN_INSUFFICIENT_FUNDS


def svm_verdict(error: object) -> tuple[int | None, Verdict]:
    """(index of the instruction, ``None`` if the error is the whole transaction's; what it is called)."""
    if isinstance(error, TransactionErrorInstructionError):
        if isinstance(error.err, InstructionErrorCustom):
            return error.index, Verdict(error.err.code, "Custom")
        return error.index, Verdict(0, str(error.err).rsplit(".", maxsplit=1)[-1])
    if isinstance(error, TransactionErrorFieldless):
        return None, Verdict(0, str(error).rsplit(".", maxsplit=1)[-1])
    return None, Verdict(0, type(error).__name__.removeprefix("TransactionError"))

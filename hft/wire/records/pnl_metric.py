# Made by scripts/codegen from schemas/metrics.fbs; do not edit.
"""PnlMetric (HFPM, link metrics, 224 bytes): The ledger's running totals after a trade."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from hft.wire import codec
from hft.wire.enums import Strategy
from hft.wire.layout import Field, Layout, View


class PnlMetric(NamedTuple):
    """The ledger's running totals after a trade."""

    trace_id: bytes
    """The trade that it follows. (16 bytes)"""
    sequence: int
    """Position in the link, from 0, without gaps. (messages)"""
    slot: int
    """Slot of the newest landed trade. (slot)"""
    strategy: int
    """The strategy that the totals are of. (Strategy)"""
    trades: int
    """Executions that ended. (trades)"""
    landed_ok: int
    """Of these, landed and succeeded. (trades)"""
    landed_failed: int
    """Of these, landed and failed. (trades)"""
    not_landed: int
    """Of these, expired, rejected or unknown. (trades)"""
    wins: int
    """Trades with a positive actual profit. (trades)"""
    losses: int
    """Trades with a negative actual profit. (trades)"""
    pnl_lamports: int
    """Sum of actual profits. (lamports)"""
    peak_pnl_lamports: int
    """Highest sum so far, at least 0. (lamports)"""
    drawdown_lamports: int
    """peak_pnl_lamports - pnl_lamports. (lamports)"""
    expected_pnl_lamports: int
    """Sum of expected profits of the trades that landed. (lamports)"""
    fees_lamports: int
    """Sum of base and priority fees. (lamports)"""
    tips_lamports: int
    """Sum of tips. (lamports)"""
    wallet_lamports: int
    """Wallet's SOL and wrapped SOL after the last trade. (lamports)"""
    win_rate_ppm: int
    """wins / (wins + losses), 0 before the first. (ppm)"""
    recorded_ns: int
    """When the auditor booked it. (ns, monotonic)"""
    recorded_unix_ns: int
    """The same moment, UTC. (ns, unix)"""


layout: Final = Layout(
    "PnlMetric",
    b"HFPM",
    "metrics",
    "The ledger's running totals after a trade.",
    224,
    bytes.fromhex(
        "340000004846504d2c00ac00040014001c0024002c0034003c0044004c0054005c0064006c007400"
        "7c0084008c0094009c00a4002c000000"
    ),
    (
        Field("trace_id", "16s", 56, 16, 1, "", "The trade that it follows."),
        Field("sequence", "Q", 72, 8, 8, "messages", "Position in the link, from 0, without gaps."),
        Field("slot", "Q", 80, 8, 8, "slot", "Slot of the newest landed trade."),
        Field("strategy", "H", 88, 2, 2, "", "The strategy that the totals are of.", enum=Strategy),
        Field("trades", "Q", 96, 8, 8, "trades", "Executions that ended."),
        Field("landed_ok", "Q", 104, 8, 8, "trades", "Of these, landed and succeeded."),
        Field("landed_failed", "Q", 112, 8, 8, "trades", "Of these, landed and failed."),
        Field("not_landed", "Q", 120, 8, 8, "trades", "Of these, expired, rejected or unknown."),
        Field("wins", "Q", 128, 8, 8, "trades", "Trades with a positive actual profit."),
        Field("losses", "Q", 136, 8, 8, "trades", "Trades with a negative actual profit."),
        Field("pnl_lamports", "q", 144, 8, 8, "lamports", "Sum of actual profits."),
        Field("peak_pnl_lamports", "q", 152, 8, 8, "lamports", "Highest sum so far, at least 0."),
        Field("drawdown_lamports", "Q", 160, 8, 8, "lamports", "peak_pnl_lamports - pnl_lamports."),
        Field(
            "expected_pnl_lamports",
            "q",
            168,
            8,
            8,
            "lamports",
            "Sum of expected profits of the trades that landed.",
        ),
        Field("fees_lamports", "Q", 176, 8, 8, "lamports", "Sum of base and priority fees."),
        Field("tips_lamports", "Q", 184, 8, 8, "lamports", "Sum of tips."),
        Field(
            "wallet_lamports",
            "Q",
            192,
            8,
            8,
            "lamports",
            "Wallet's SOL and wrapped SOL after the last trade.",
        ),
        Field("win_rate_ppm", "I", 200, 4, 4, "ppm", "wins / (wins + losses), 0 before the first."),
        Field("recorded_ns", "q", 208, 8, 8, "ns, monotonic", "When the auditor booked it."),
        Field("recorded_unix_ns", "q", 216, 8, 8, "ns, unix", "The same moment, UTC."),
    ),
)
name: Final = layout.name
identifier: Final = layout.identifier
size: Final = layout.size
Record: Final = PnlMetric

fast: Final = codec.fast(layout, PnlMetric)


class EncodeInto(Protocol):
    """Write one message at the start of ``view``; its size. WireError if a value does not fit its field."""

    def __call__(
        self,
        view: bytearray | memoryview,
        /,
        trace_id: bytes,
        sequence: int,
        slot: int,
        strategy: int,
        trades: int,
        landed_ok: int,
        landed_failed: int,
        not_landed: int,
        wins: int,
        losses: int,
        pnl_lamports: int,
        peak_pnl_lamports: int,
        drawdown_lamports: int,
        expected_pnl_lamports: int,
        fees_lamports: int,
        tips_lamports: int,
        wallet_lamports: int,
        win_rate_ppm: int,
        recorded_ns: int,
        recorded_unix_ns: int,
    ) -> int: ...


encode_into: Final[EncodeInto] = fast.encode_into
decode: Final[Callable[[View], PnlMetric]] = fast.decode
verify: Final[Callable[[View], None]] = fast.verify

read_trace_id: Final = codec.bytes_reader(fast, "trace_id")
read_sequence: Final = codec.int_reader(fast, "sequence")
read_slot: Final = codec.int_reader(fast, "slot")
read_strategy: Final = codec.int_reader(fast, "strategy")
read_trades: Final = codec.int_reader(fast, "trades")
read_landed_ok: Final = codec.int_reader(fast, "landed_ok")
read_landed_failed: Final = codec.int_reader(fast, "landed_failed")
read_not_landed: Final = codec.int_reader(fast, "not_landed")
read_wins: Final = codec.int_reader(fast, "wins")
read_losses: Final = codec.int_reader(fast, "losses")
read_pnl_lamports: Final = codec.int_reader(fast, "pnl_lamports")
read_peak_pnl_lamports: Final = codec.int_reader(fast, "peak_pnl_lamports")
read_drawdown_lamports: Final = codec.int_reader(fast, "drawdown_lamports")
read_expected_pnl_lamports: Final = codec.int_reader(fast, "expected_pnl_lamports")
read_fees_lamports: Final = codec.int_reader(fast, "fees_lamports")
read_tips_lamports: Final = codec.int_reader(fast, "tips_lamports")
read_wallet_lamports: Final = codec.int_reader(fast, "wallet_lamports")
read_win_rate_ppm: Final = codec.int_reader(fast, "win_rate_ppm")
read_recorded_ns: Final = codec.int_reader(fast, "recorded_ns")
read_recorded_unix_ns: Final = codec.int_reader(fast, "recorded_unix_ns")

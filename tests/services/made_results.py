"""Results as the executor tells them, made up: figures that are easy to add."""

from typing import Any

from hft import wire
from hft.wire import ExecutionResult
from hft.wire.enums import EndState, ExecutionReason

START = 200 * 10**9


def result(number: int, **changes: Any) -> ExecutionResult:
    """One landed trade: 8,000 lamports of profit after 5,100 of fees and a tip of 2,000."""
    values: dict[str, Any] = {}
    for field in wire.execution_result.layout.fields:
        values[field.name] = bytes(field.bytes) if field.code.endswith("s") else 0
    before = START + 8_000 * number
    values |= {
        "plan_id": number.to_bytes(16, "big"),
        "signature": number.to_bytes(64, "big"),
        "trace_id": b"t" * 16,
        "sequence": number,
        "slot": 100 + number,
        "strategy": 1,
        "end_state": EndState.LANDED_OK,
        "expected_profit_lamports": 9_000,
        "actual_profit_lamports": 8_000,
        "base_fee_lamports": 5_000,
        "priority_fee_lamports": 100,
        "tip_lamports": 2_000,
        "lamports_before": before - 10**9,
        "lamports_after": before - 10**9 - 7_100,
        "base_token_before": 10**9,
        "base_token_after": 10**9 + 15_100,
        "quote_token_after": 3,
    }
    return ExecutionResult(**(values | changes))


def failed(number: int) -> ExecutionResult:
    """A trade that landed and failed: its fees are gone, its tip was rolled back."""
    sound = result(number)
    return sound._replace(
        end_state=EndState.LANDED_FAILED,
        reason=ExecutionReason.MINIMUM_OUT,
        actual_profit_lamports=-5_100,
        tip_lamports=0,
        lamports_after=sound.lamports_before - 5_100,
        base_token_after=sound.base_token_before,
        quote_token_after=0,
    )


def expired(number: int) -> ExecutionResult:
    """A trade that never landed."""
    nothing = dict.fromkeys(
        name for name in ExecutionResult._fields if "lamports" in name or "_token_" in name
    )
    return result(number)._replace(**dict.fromkeys(nothing, 0), end_state=EndState.EXPIRED, slot=0)

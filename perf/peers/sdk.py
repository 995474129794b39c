"""Venues' published JavaScript SDKs as peers: a node process quotes the same pools and amounts.

``scripts/peers`` installs them (``package.json`` beside this file) into ``.peers``; ``HFT_PERF_NODE`` names
another folder. No SDK asks a node: what its loaders would fetch is decoded from the same account bytes.
"""

import base64
import json
import os
import shutil
import subprocess
from array import array
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from solders.pubkey import Pubkey

from hft.venues.encoders import encode
from hft.venues.meteora_dlmm_accounts import array_address
from hft.venues.raydium_clmm_accounts import extension_address, tick_array_address
from perf.pools import Priced

FOLDER = "HFT_PERF_NODE"
OWN_FOLDER = Path(__file__).resolve().parents[2] / ".peers"
SCRIPT = Path(__file__).with_suffix(".mjs")
TICKS = 88
ARRAYS = 5
"""As the SDK itself fetches: the one of the price and two to each side."""


def folder() -> str:
    """Where the SDKs are looked for."""
    return os.environ.get(FOLDER) or str(OWN_FOLDER)


def missing(package: str) -> str:
    """Why an SDK can't be run here; "" when it can."""
    if not shutil.which("node"):
        return "node is not installed"
    if not (Path(folder()) / "node_modules" / package).is_dir():
        return f"{package} is not in {folder()} (scripts/peers installs it)"
    return ""


def big(value: int) -> dict[str, str]:
    """An integer that JavaScript takes as a BigInt."""
    return {"bigint": str(value)}


def _whirlpool(priced: Priced) -> dict[str, Any]:
    """What ``swapQuoteByInputToken`` of @orca-so/whirlpools-core takes."""
    figures = priced.figures
    pool = {
        "feeTierIndexSeed": list(int(figures["fee_tier_index_seed"]).to_bytes(2, "little")),
        "tickSpacing": figures["tick_spacing"],
        "feeRate": figures["fee_rate"],
        "protocolFeeRate": figures["protocol_fee_rate"],
        "liquidity": big(figures["liquidity"]),
        "sqrtPrice": big(figures["sqrt_price"]),
        "tickCurrentIndex": figures["tick"],
        "feeGrowthGlobalA": big(0),
        "feeGrowthGlobalB": big(0),
        "rewardLastUpdatedTimestamp": big(figures["reward_last_updated"]),
        "rewardInfos": [{"emissionsPerSecondX64": big(0), "growthGlobalX64": big(0)}] * 3,
    }
    spacing = figures["tick_spacing"]
    around = figures["tick"] // (TICKS * spacing) * TICKS * spacing
    nearest = sorted(figures["tick_arrays"], key=lambda each: abs(each[0] - around))[:ARRAYS]
    arrays = [_array(start, rows, spacing) for start, _, rows in sorted(nearest)]
    return {"pool": pool, "arrays": arrays, "time": big(priced.clock.unix_timestamp)}


def _array(start: int, rows: list[list[int]], spacing: int) -> dict[str, Any]:
    known = {row[0]: row for row in rows}
    ticks = []
    for tick in range(start, start + TICKS * spacing, spacing):
        row = known.get(tick)
        ticks.append(
            {
                "initialized": row is not None,
                "liquidityNet": big(row[1] if row else 0),
                "liquidityGross": big(row[2] if row else 0),
                "feeGrowthOutsideA": big(0),
                "feeGrowthOutsideB": big(0),
                "rewardGrowthsOutside": [big(0)] * 3,
            }
        )
    return {"startTickIndex": start, "ticks": ticks}


def _raydium_v4(priced: Priced) -> dict[str, Any]:
    """What ``Liquidity.computeAmountOut`` of @raydium-io/raydium-sdk-v2 takes."""
    pool: Any = priced.pool
    return {
        "mints": [_text(pool.mint_a), _text(pool.mint_b)],
        "reserves": [big(pool.reserve_a), big(pool.reserve_b)],
    }


def _raydium_cpmm(priced: Priced) -> dict[str, Any]:
    """What ``CurveCalculator.swapBaseInput`` of @raydium-io/raydium-sdk-v2 takes."""
    pool: Any = priced.pool
    trade, protocol, fund = priced.figures["config_rates"]
    return {"figures": [big(n) for n in (pool.reserve_a, pool.reserve_b, trade, 0, protocol, fund)]}


def _raydium_clmm(priced: Priced) -> dict[str, Any]:
    """What ``swapInternal`` of @raydium-io/raydium-sdk-v2 takes, as account bytes."""
    pool: Any = priced.pool
    arrays = _texts(tick_array_address(pool.key, start) for start in pool.down)
    known = {"config": _text(pool.config), "extension": _text(extension_address(pool.key)), "arrays": arrays}
    return {**_accounts(priced), **known}


def _meteora_dlmm(priced: Priced) -> dict[str, Any]:
    """What ``DLMM.swapQuote`` of @meteora-ag/dlmm takes, as account bytes."""
    pool: Any = priced.pool
    return {**_accounts(priced), "arrays": _texts(array_address(pool.key, index) for index in pool.down)}


def _accounts(priced: Priced) -> dict[str, Any]:
    """The pool's accounts: bytes by address."""
    accounts = {
        _text(key): base64.b64encode(account.data).decode() for key, account in encode(priced.figures).items()
    }
    return {"pool": _text(priced.pool.key), "accounts": accounts, "time": priced.clock.unix_timestamp}


def _text(key: bytes) -> str:
    return str(Pubkey(key))


def _texts(keys: Iterable[bytes]) -> list[str]:
    return [_text(key) for key in keys]


_GIVEN: Mapping[str, Callable[[Priced], dict[str, Any]]] = {
    "whirlpool": _whirlpool,
    "raydium_v4": _raydium_v4,
    "raydium_cpmm": _raydium_cpmm,
    "raydium_clmm": _raydium_clmm,
    "meteora_dlmm": _meteora_dlmm,
    "meteora_damm_v2": _accounts,
}


def given(venue: str, priced: Priced, amounts: list[int]) -> dict[str, Any]:
    """What ``sdk.mjs`` takes to quote ``amounts`` of token A."""
    return {"sdk": venue, "amounts": [big(amount) for amount in amounts], **_GIVEN[venue](priced)}


class Sdk:
    """A node process with one pool, in a worker; its amounts must be ours."""

    def __init__(self, given: dict[str, Any], outs: list[int]) -> None:
        self._node = subprocess.Popen(
            ["node", "--max-old-space-size=512", str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a dependency's remark on every start
            text=True,
        )
        answer = self._ask({**given, "modules": folder()})
        theirs = [int(out) for out in answer["outs"]]
        self._wrong = sum(mine != other for mine, other in zip(outs, theirs, strict=True))
        self._outs = len(outs)

    def sample(self, n: int) -> tuple[bytes, float, str]:
        """n quotes: (ns each as array('q') bytes, 0.0, what is wrong)."""
        samples = array("q", self._ask({"n": n}))
        wrong = f"{self._wrong} of {self._outs} amounts are not ours" if self._wrong else ""
        return samples.tobytes(), 0.0, wrong

    def _ask(self, question: dict[str, Any]) -> Any:
        assert self._node.stdin
        assert self._node.stdout
        self._node.stdin.write(json.dumps(question) + "\n")
        self._node.stdin.flush()
        line = self._node.stdout.readline()
        if not line:
            raise OSError(f"node ended with exit code {self._node.wait()}")
        answer = json.loads(line)
        if isinstance(answer, dict) and "error" in answer:
            raise OSError(f"the SDK says: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the process."""
        self._node.terminate()
        self._node.wait()

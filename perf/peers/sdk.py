"""Venues' published JavaScript SDKs as peers: a node process quotes the same pools and amounts.

``HFT_PERF_NODE`` names a folder outside the project in which ``npm install @orca-so/whirlpools-core
@raydium-io/raydium-sdk-v2`` was run.
"""

import json
import os
import shutil
import subprocess
from array import array
from pathlib import Path
from typing import Any

FOLDER = "HFT_PERF_NODE"
SCRIPT = Path(__file__).with_suffix(".mjs")
TICKS = 88
ARRAYS = 5
"""As the SDK itself fetches: the one of the price and two to each side."""


def missing(package: str) -> str:
    """Why an SDK can't be run here; "" when it can."""
    if not shutil.which("node"):
        return "node is not installed"
    folder = os.environ.get(FOLDER)
    if not folder:
        return f"{FOLDER} names no folder with node_modules"
    if not (Path(folder) / "node_modules" / package).is_dir():
        return f"{package} is not in {folder}/node_modules (npm install {package})"
    return ""


def big(value: int) -> dict[str, str]:
    """An integer that JavaScript takes as a BigInt."""
    return {"bigint": str(value)}


def whirlpool(figures: dict[str, Any], amounts: list[int], unix_timestamp: int) -> dict[str, Any]:
    """What ``swapQuoteByInputToken`` of @orca-so/whirlpools-core takes."""
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
    common = {"sdk": "whirlpool", "pool": pool, "arrays": arrays, "time": big(unix_timestamp)}
    return {**common, "amounts": [big(amount) for amount in amounts]}


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


def raydium_cpmm(figures: dict[str, Any], amounts: list[int]) -> dict[str, Any]:
    """What ``CurveCalculator.swapBaseInput`` of @raydium-io/raydium-sdk-v2 takes."""
    reserves = []
    for place, side in enumerate(("a", "b")):
        owed = figures["protocol_fees"][place] + figures["fund_fees"][place] + figures["creator_fees"][place]
        reserves.append(figures[side]["vault_amount"] - owed)
    trade, protocol, fund = figures["config_rates"]
    known = [*reserves, trade, 0, protocol, fund]
    amounts_given = [big(amount) for amount in amounts]
    return {"sdk": "raydium_cpmm", "figures": [big(value) for value in known], "amounts": amounts_given}


class Sdk:
    """A node process with one pool, in a worker; its amounts must be ours."""

    def __init__(self, given: dict[str, Any], outs: list[int]) -> None:
        self._node = subprocess.Popen(
            ["node", "--max-old-space-size=512", str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        answer = self._ask({**given, "modules": os.environ[FOLDER]})
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

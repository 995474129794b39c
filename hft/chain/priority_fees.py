"""What a transaction must pay per compute unit to land beside others: from the fees that landed. Pure."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

from hft.chain.rpc_parse import PriorityFee

BLOCKS_KEPT: Final = 150
"""getRecentPrioritizationFees tells as many."""


class FeeRule(NamedTuple):
    """Percentile (0 to 100) of the least fees of the newest blocks, never below the floor nor above the cap;
    all µlamports per compute unit."""

    percentile: int = 75
    floor_micro_lamports: int = 0
    cap_micro_lamports: int = 5_000_000


FEE_RULE: Final = FeeRule()


class PriorityFees:
    """Least fees that landed, block by block. What a node tells is the least of a block, so a block without
    competition says zero: such blocks count too."""

    def __init__(self, rule: FeeRule = FEE_RULE) -> None:
        if not 0 <= rule.percentile <= 100 or not 0 <= rule.floor_micro_lamports <= rule.cap_micro_lamports:
            raise ValueError(f"{rule}: a percentile of 0 to 100 and a floor up to the cap belong here")
        self._rule = rule
        self._blocks: OrderedDict[int, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

    def take(self, told: Sequence[PriorityFee]) -> None:
        """Takes a node's answer; of a block told twice the higher fee stands."""
        for fee in sorted(told):
            self._blocks[fee.slot] = max(fee.micro_lamports, self._blocks.get(fee.slot, 0))
        for slot in sorted(self._blocks)[:-BLOCKS_KEPT]:
            del self._blocks[slot]

    def price(self) -> int:
        """µlamports per compute unit to offer now (nearest rank); the floor while nothing is known."""
        rule = self._rule
        fees = sorted(self._blocks.values())
        if not fees:
            return rule.floor_micro_lamports
        rank = max(-(-len(fees) * rule.percentile // 100), 1)
        return min(max(fees[rank - 1], rule.floor_micro_lamports), rule.cap_micro_lamports)


def priority_fee_lamports(price_micro_lamports: int, compute_unit_limit: int) -> int:
    """ceil(price × requested limit / 10⁶), as the runtime charges it."""
    return -(-price_micro_lamports * compute_unit_limit // 1_000_000)

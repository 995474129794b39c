"""What the network asks for a place in a block now: what the executor's watchers were told, by its counters
page. It never falls below the settings' least, nor rises above their caps.
"""

from typing import TYPE_CHECKING

from hft.strategy.pricing import Policy

if TYPE_CHECKING:
    from hft.runtime.context import Context

PRICE = "priority_fee_micro_lamports"
TIP = "tip_floor_lamports"
WRITER = "executor"


class GoingRates:
    """Compute-unit price (micro-lamports) and landed tip (lamports); 0: not known."""

    def __init__(self, ctx: "Context") -> None:
        self._page = ctx.peer_counters(WRITER)
        self._places = self._page.index(PRICE), self._page.index(TIP)
        self._price_cap = ctx.config.planner.compute_unit_price_cap_micro_lamports
        self._policies: dict[int, tuple[Policy, Policy]] = {}
        self.price = 0
        self.tip = 0

    def look(self) -> None:
        """Takes what is told now."""
        price, tip = (self._page.value(place) for place in self._places)
        if (price, tip) != (self.price, self.tip):
            self.price, self.tip = price, tip
            self._policies.clear()

    def over(self, policy: Policy) -> Policy:
        """``policy`` with the going rates: at least its own, at most its caps."""
        known = self._policies.get(id(policy))
        if known is not None and known[0] is policy:
            return known[1]
        tips, own = policy.tips, policy.compute_unit_price_micro_lamports
        rated = policy._replace(
            compute_unit_price_micro_lamports=max(own, min(self.price, self._price_cap)),
            tips=tips._replace(floor_lamports=min(max(tips.floor_lamports, self.tip), tips.cap_lamports)),
        )
        self._policies[id(policy)] = policy, rated
        return rated

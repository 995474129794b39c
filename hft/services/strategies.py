"""The enabled strategies of a run, and a service's counters of each."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hft.runtime.settings_strategies import counter_name, effective
from hft.strategy.registry import KINDS, Terms, TwoHopStrategy
from hft.strategy.validation import CONSERVATIVE_GROSS_BPS_MILLI

if TYPE_CHECKING:
    from hft.runtime.context import Context
    from hft.runtime.settings import Config
    from ringbuf import Counters


def strategies_of(config: "Config") -> dict[int, TwoHopStrategy]:
    """Number → strategy, in the order in which the settings enable them."""
    return {config.strategy[name].number: _made(config, name) for name in config.strategies.enabled}


def _made(config: "Config", name: str) -> TwoHopStrategy:
    own, scanner = config.strategy[name], effective(config, name).scanner
    terms = Terms(
        scanner.minimum_size_lamports,
        scanner.maximum_size_lamports,
        scanner.minimum_gross_profit_lamports,
        CONSERVATIVE_GROSS_BPS_MILLI if config.planner.profile == "conservative" else 0,
        scanner.dedupe_slots,
    )
    return KINDS[own.kind](name, own.number, terms)


def places_of(
    ctx: "Context", names: tuple[str, ...], page: "Counters | None" = None
) -> Mapping[int, tuple[int, ...]]:
    """Strategy's number → the indexes of its counters on ``page`` (this service's own), in the order of
    ``names``.
    """
    counters = page or ctx.counters
    return {
        ctx.config.strategy[strategy].number: tuple(
            counters.index(counter_name(strategy, name)) for name in names
        )
        for strategy in ctx.config.strategies.enabled
    }

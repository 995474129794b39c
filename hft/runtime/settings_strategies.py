"""``[strategies]`` and ``[strategy:NAME]``: which strategies run side by side, and how they differ."""

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from hft.runtime.settings_fields import MAXIMUM_U64, choice, number, strings
from hft.strategy.registry import FIRST_FREE_NUMBER, KINDS

if TYPE_CHECKING:
    from hft.runtime.settings import Config

MOST = 8
NAME_PATTERN = r"[a-z][a-z0-9_]{0,15}"
INHERIT = -1


def _own(high: int, text: str, section: str) -> Any:
    return number(INHERIT, INHERIT, high, f"{text} -1: as [{section}] says.")


@dataclass(frozen=True)
class Strategies:
    """``[strategies]``"""

    enabled: tuple[str, ...] = strings(
        "Strategies that run, each with its section; where two want the same pools the first one goes.",
        ("two_hop",),
    )


@dataclass(frozen=True)
class Strategy:
    """``[strategy:NAME]``: what differs from the settings of scanner, planner and gate."""

    kind: str = choice("two_hop", tuple(KINDS), "The search it is made of.")
    number: int = number(1, 1, 65_535, "Its number in messages and ledger, its own for ever; two_hop has 1.")
    minimum_gross_profit_lamports: int = _own(
        MAXIMUM_U64, "Least profit before fees and tip.", "service:scanner"
    )
    minimum_size_lamports: int = _own(MAXIMUM_U64, "Smallest trade.", "service:scanner")
    maximum_size_lamports: int = _own(MAXIMUM_U64, "Largest trade.", "service:scanner")
    dedupe_slots: int = _own(10_000, "Slots during which a route is not repeated.", "service:scanner")
    minimum_profit_lamports: int = _own(MAXIMUM_U64, "Least profit net of all costs.", "service:planner")
    minimum_profit_bps_milli: int = _own(10_000_000, "The same as a share of the trade.", "service:planner")
    minimum_confidence_ppm: int = _own(1_000_000, "Least confidence.", "service:planner")
    maximum_slippage_bps: int = _own(
        10_000, "Largest loss against the opportunity's quote.", "service:planner"
    )
    maximum_risk_score_ppm: int = _own(1_000_000, "Highest risk score.", "service:planner")
    tip_share_ppm: int = _own(1_000_000, "Share of the expected profit offered as a tip.", "service:planner")
    tip_cap_lamports: int = _own(MAXIMUM_U64, "Largest tip.", "service:planner")
    maximum_open_plans: int = _own(100_000, "Most submissions whose end is not known yet.", "risk")
    maximum_trades_per_minute: int = _own(10_000_000, "Most submissions in any minute.", "risk")
    maximum_daily_loss_lamports: int = _own(
        MAXIMUM_U64, "Its own loss since midnight UTC at which it sends nothing more.", "risk"
    )


def effective(config: "Config", name: str) -> "Config":
    """The settings as one strategy sees them: its own keys over those of scanner and planner, and within the
    limits of ``[risk]``, which no strategy can widen.
    """
    own = {key: value for key, value in asdict(config.strategy[name]).items() if value != INHERIT}

    def over(section: Any, *, within: bool = False) -> Any:
        mine = {key: value for key, value in own.items() if hasattr(section, key)}
        if within:
            mine = {key: min(value, getattr(section, key)) for key, value in mine.items()}
        return replace(section, **mine)

    return replace(
        config,
        scanner=over(config.scanner),
        planner=over(config.planner),
        risk=over(config.risk, within=True),
    )


def counter_name(strategy: str, name: str) -> str:
    """A counter that a service keeps for each strategy."""
    return f"strategy.{strategy}.{name}"


def settings_errors(config: "Config") -> list[str]:
    """What is wrong with the strategies, each error naming its key."""
    errors, enabled = [], config.strategies.enabled
    if not 1 <= len(enabled) <= MOST or len(set(enabled)) != len(enabled):
        errors.append(f"[strategies] enabled: {', '.join(enabled)!r} is not 1 to {MOST} names, each once")
    for name in enabled:
        if name not in config.strategy:
            errors.append(f"[strategies] enabled: {name} has no section [strategy:{name}]")
            continue
        merged = effective(config, name)
        for place, low, high in (
            ("scanner", "minimum_size_lamports", "maximum_size_lamports"),
            ("planner", "tip_floor_lamports", "tip_cap_lamports"),
        ):
            common, its = getattr(config, place), getattr(merged, place)
            least, most = getattr(its, low), getattr(its, high)
            if least > most and getattr(common, low) <= getattr(common, high):
                errors.append(f"[strategy:{name}] {low} {least} is above {high} {most}")
    numbers: dict[int, str] = {}
    for name, section in config.strategy.items():
        if section.number < FIRST_FREE_NUMBER and name != section.kind:
            errors.append(
                f"[strategy:{name}] number: {section.number} is the schema's own;"
                f" {FIRST_FREE_NUMBER} to 65535 are free"
            )
        elif section.number in numbers:
            errors.append(
                f"[strategy:{name}] number: {section.number} is {numbers[section.number]}'s already"
            )
        numbers.setdefault(section.number, name)
    return errors

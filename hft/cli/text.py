"""Numbers as a person reads them."""

LAMPORTS_PER_SOL = 1_000_000_000


def count(value: int) -> str:
    """``12345`` → ``12,345``."""
    return f"{value:,}"


def rate(per_second: float) -> str:
    """A rate with the digits that matter: ``0``, ``0.3``, ``12.4``, ``1,234``."""
    if per_second <= 0:
        return "0"
    if per_second < 100:
        return f"{per_second:.1f}"
    return f"{per_second:,.0f}"


def duration(ns: float) -> str:
    """``850`` → ``850 ns``, ``12_345`` → ``12.3 µs``, ``1_500_000_000`` → ``1.50 s``."""
    if ns < 1_000:
        return f"{ns:.0f} ns"
    for limit, unit, name in ((1e6, 1e3, "µs"), (1e9, 1e6, "ms"), (float("inf"), 1e9, "s")):
        if ns < limit:
            value = ns / unit
            return (
                f"{value:.0f} {name}"
                if value >= 100
                else f"{value:.1f} {name}"
                if value >= 10
                else f"{value:.2f} {name}"
            )
    raise AssertionError("unreachable: the last limit is infinite")


def clock(seconds: float) -> str:
    """``3725`` → ``1:02:05``, ``65`` → ``01:05``."""
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def sol(lamports: int, *, sign: bool = True) -> str:
    """Lamports as SOL with all nine decimals, exact: ``-5000`` → ``−0.000005000``."""
    whole, rest = divmod(abs(lamports), LAMPORTS_PER_SOL)
    mark = "−" if lamports < 0 else "+" if sign and lamports > 0 else ""
    return f"{mark}{whole:,}.{rest:09}"


def size(value: int) -> str:
    """Bytes: ``12_345_678`` → ``12 MB``."""
    if value >= 1e9:
        return f"{value / 1e9:.1f} GB"
    return f"{value / 1e6:.0f} MB" if value >= 1e6 else f"{value / 1e3:.0f} kB"


def words(name: str) -> str:
    """A counter's name in words: ``low_confidence`` → ``low confidence``."""
    return name.replace("_", " ")


_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: list[float], width: int) -> str:
    """The last ``width`` values as a line of little bars."""
    shown = values[-width:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    span = high - low
    if span <= 0:
        return _BARS[0] * len(shown)
    return "".join(_BARS[min(7, int((value - low) / span * 7.999))] for value in shown)


def bar(share: float, width: int) -> str:
    """A horizontal bar of up to ``width`` cells for ``share`` in 0..1, in eighths of a cell."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")

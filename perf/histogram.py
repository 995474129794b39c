"""HdrHistogram: the whole distribution of a case over all rounds, 1 ns to 100 s, three significant digits."""

from collections import Counter
from collections.abc import Iterable

HIGHEST_NS = 100_000_000_000
CURVE_PERCENTILES = (
    *(
        0.0,
        1.0,
        5.0,
        10.0,
        20.0,
        30.0,
        40.0,
        50.0,
        60.0,
        70.0,
        75.0,
        80.0,
        85.0,
        90.0,
        92.5,
        95.0,
        96.0,
        97.0,
    ),
    *(98.0, 98.5, 99.0, 99.3, 99.5, 99.7, 99.8, 99.9, 99.95, 99.99, 100.0),
)


class Distribution:
    """Samples of many rounds, merged."""

    def __init__(self) -> None:
        from hdrh.histogram import HdrHistogram

        self._hdr = HdrHistogram(1, HIGHEST_NS, 3)
        self.count = 0

    def add(self, samples: Iterable[int]) -> None:
        """Count samples, ns."""
        for value, times in Counter(samples).items():
            self._hdr.record_value(min(max(value, 1), HIGHEST_NS), times)
            self.count += times

    def points(self) -> list[tuple[float, float]]:
        """(percentile, ns) over CURVE_PERCENTILES."""
        values = self._hdr.get_percentile_to_value_dict(sorted(CURVE_PERCENTILES))
        return [(q, float(values[q])) for q in CURVE_PERCENTILES]

"""The distribution of latencies: counts in buckets of nanoseconds, which merge exactly.

The layout is HdrHistogram's (Gil Tene, https://hdrhistogram.org): buckets one nanosecond wide first, then the same
number of buckets for every doubling. Here there are 128 an octave, so a bucket's width is at most 1/128 of its values,
and its midpoint at most 1/256 (0.4%) off any of them; percentiles are promised to 1%. Integers only, no rounding.
"""

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Final, Self

OCTAVE_BITS: Final = 7  # 2**7 = 128 buckets an octave
NEEDED_BEYOND: Final = 3  # expected samples beyond a percentile, see Histogram.percentile


def bucket_of(value: int) -> int:
    """The bucket of a value, 0 or more nanoseconds: an exponent, then the 8 leading bits of the value."""
    shift = value.bit_length() - OCTAVE_BITS - 1
    return (shift << OCTAVE_BITS) + (value >> shift) if shift > 0 else value


def value_of(bucket: int) -> int:
    """The midpoint of a bucket, in nanoseconds."""
    shift = (bucket >> OCTAVE_BITS) - 1
    if shift <= 0:
        return bucket
    return ((bucket - (shift << OCTAVE_BITS)) << shift) + (1 << shift >> 1)


MAX_BUCKET: Final = bucket_of(2**63 - 1)  # 292 years


class Histogram:
    """The distribution of some operations' latencies, in nanoseconds."""

    def __init__(self, counts: dict[int, int] | None = None) -> None:
        self.counts: dict[int, int] = dict(counts or {})  # bucket -> number of samples

    def record_all(self, values: Iterable[int]) -> None:
        """Add samples, 0 or more nanoseconds each. This takes 0.2 us a sample; call it between slices, not in them."""
        counts = self.counts
        get = counts.get
        for value in values:
            shift = value.bit_length() - 8  # bucket_of() inlined
            bucket = (shift << 7) + (value >> shift) if shift > 0 else value
            counts[bucket] = get(bucket, 0) + 1

    def merge(self, other: Self) -> None:
        """Add the samples of another histogram; the result is the same as if all had been recorded here."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count

    @property
    def total(self) -> int:
        """The number of samples."""
        return sum(self.counts.values())

    def percentile(self, q: float) -> int | None:
        """The smallest value, in nanoseconds, that a share q of the samples does not exceed (nearest rank).

        None where fewer than three samples are expected beyond it, n * (1 - q) < 3: the chance that all n samples lie
        below the true percentile is q**n, about e**-3 or 5% at that limit (the rule of three), so with fewer the
        answer would too often be just the maximum. p50 needs 6 samples, p90 30, p95 60, p99 300, p99.9 3000.
        """
        share = Fraction(q).limit_denominator(1_000_000)  # 0.999 means 999/1000, not the nearest float
        total = self.total
        if total * (1 - share) < NEEDED_BEYOND:
            return None
        left = math.ceil(total * share)
        for bucket in sorted(self.counts):
            left -= self.counts[bucket]
            if left <= 0:
                return value_of(bucket)
        return None

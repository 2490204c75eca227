"""What is surely rarer than a share."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from dbbench.stats.rare import surely_rarer


@given(st.integers(0, 60), st.integers(60, 20_000), st.sampled_from([0.001, 0.01, 0.05]))
def test_it_is_the_binomial_distribution(happened: int, of: int, share: float) -> None:
    by_chance = float(stats.binom.cdf(happened, of, share))
    assume(by_chance > 1e-100)

    assert surely_rarer(happened, of, share, by_chance * (1 + 1e-6))
    assert not surely_rarer(happened, of, share, by_chance * (1 - 1e-6))


@pytest.mark.parametrize(
    ("happened", "of", "sure"), [(0, 298, False), (0, 299, True), (4, 1_000, True), (5, 1_000, False), (0, 10, False)]
)
def test_few_samples_are_never_sure(happened: int, of: int, sure: bool) -> None:
    """The rule of three: none of 299 is less than 1% with 95% confidence."""
    assert surely_rarer(happened, of, 0.01, 0.05) is sure

"""Counts and lists read as people write them."""

import pytest

from dbbench.wording import count, listed


@pytest.mark.parametrize(
    ("how_many", "written"), [(0, "0 blocks"), (1, "1 block"), (2, "2 blocks"), (1500, "1,500 blocks")]
)
def test_one_is_singular_and_everything_else_plural(how_many: int, written: str) -> None:
    assert count(how_many, "block") == written


@pytest.mark.parametrize(("parts", "written"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_a_list_ends_with_and(parts: list[str], written: str) -> None:
    assert listed(parts) == written

"""docs/types.md has the table that the drivers are held to."""

from types_table import PAGE, TYPES, page, reading, writing

from dbbench.analysis.natures import NATURES


def test_the_page_is_what_the_table_says() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert page(text) == text, "PYTHONPATH=tests python tests/types_table.py writes it"
    assert reading() in text
    assert writing() in text


def test_the_table_names_differences_as_reports_do() -> None:
    known = {nature.name for nature in NATURES}

    assert {name for each in TYPES for name in each.nature.split(", ") if name} <= known
    assert all(each.gives for each in TYPES if each.nature)


def test_the_table_covers_what_applications_use() -> None:
    assert len(TYPES) >= 70
    assert len({each.name for each in TYPES}) == len(TYPES)
    assert len([each for each in TYPES if each.value is not None]) >= 50

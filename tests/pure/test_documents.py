"""What the documents say is so: their commands, columns and links."""

import re
from pathlib import Path

from conftest import REPOSITORY
from documents import DOCUMENTS

from dbbench.analysis.rows import COLUMNS


def test_every_csv_column_is_documented() -> None:
    text = (REPOSITORY / "docs" / "results.md").read_text()
    columns = [column for column in COLUMNS if f"`{column}`" not in text]
    assert columns == ["p90_us", "p999_us"]  # written as `mean_us` ... `max_us`


def test_documents_link_to_what_is_there() -> None:
    for document in (*DOCUMENTS, REPOSITORY / "CONTRIBUTING.md"):
        for target, anchor in re.findall(r"\]\(([^)#:]*)#?([^):]*)\)", document.read_text()):
            path = document.parent / target if target else document
            assert path.exists(), (document.name, target)
            assert not anchor or anchor in anchors(path), (document.name, target, anchor)


def anchors(document: Path) -> list[str]:
    """What a link to one of its headings ends with, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]

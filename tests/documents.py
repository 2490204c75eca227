"""The documents: their code blocks, and the commands that they name."""

import re
from collections.abc import Iterator

from conftest import REPOSITORY

from dbbench.cli.app import app

DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Code blocks of a language in all documents, with the document's name."""
    for document in DOCUMENTS:
        for match in re.finditer(rf"^```{language}\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL):
            yield document.name, match[1]


def documented_commands() -> list[str]:
    """Every `dbbench ...` line of the documents' shell blocks and of --help's examples, once."""
    seen: set[str] = set()
    for name, block in blocks("sh"):
        if name != "cli.md":
            seen.update(line.partition("#")[0].strip() for line in block.splitlines() if line.startswith("dbbench "))
    for command in app.registered_commands:
        examples = re.findall(r"^dbbench .*?$", command.epilog or "", re.MULTILINE)
        seen.update(example.partition("   (")[0].strip() for example in examples)
    return sorted(seen)

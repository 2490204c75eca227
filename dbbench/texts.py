"""Text from outside, made safe for a terminal, a log, a report and a result file. Imports nothing.

Whatever a scenario, a server or a file says goes through `clean` before anybody reads it; `inert` is for whole outputs,
whose lines are only known once they are wrapped.
"""

import re
from typing import Final

MAX_TEXT: Final = 10_000  # characters of one text in a result file
MAX_SAID: Final = 2_000  # of one message on stderr

# Characters that control a terminal: C0 and C1 controls, DEL, and the controls of writing direction.
_BREAKS: Final = re.compile("[\t\n\v\f\r\x85\u2028\u2029]+")
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_HALVES: Final = re.compile("[\ud800-\udfff]")  # of surrogate pairs, as names of undecodable bytes have them
TO_ASCII: Final = str.maketrans({"µ": "u", "\N{PLUS-MINUS SIGN}": "+-", "\N{EN DASH}": "-", "·": "-", "…": "..."})
# GitHub's runner takes a line for a command that begins so, also after blanks; colours and the like do not show there.
_COMMAND: Final = re.compile(r"^((?:[^\S\n]|\x1b\[[0-9;?]*[A-Za-z])*):(?=:)", re.MULTILINE)


def clean(text: str) -> str:
    """The text, safe to print and to encode: one line, no control characters."""
    return _HALVES.sub("?", _CONTROLS.sub("", _BREAKS.sub(" ", text)))


def cut(text: str, most: int = MAX_TEXT) -> str:
    """The text, or its beginning with a mark that says how long it was; `most` characters, of which a mark takes 30."""
    if len(text) <= most:
        return text
    mark = f"… ({len(text):,} characters)"
    return text[: max(0, most - len(mark))] + mark


def encodable(text: str, encoding: str) -> str:
    """The text with something else for what the encoding does not have."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(TO_ASCII).encode(encoding, "replace").decode(encoding)
    return text


def said(text: str) -> str:
    """The text as one line of stderr."""
    return cut(clean(text), MAX_SAID)


def inert(output: str) -> str:
    """The output, in which no line is a command to the service whose log it goes to."""
    return _COMMAND.sub(r"\1: ", output)

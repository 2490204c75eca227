"""What `dbbench doctor` finds: plain data."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "note", "missing", "problem"]


@dataclass(frozen=True)
class Check:
    """What was looked at, and what came of it; "missing" and "problem" are in the way of `dbbench run`."""

    name: str
    status: Status
    detail: str
    remedy: str = ""  # what to do about it, where there is something to do

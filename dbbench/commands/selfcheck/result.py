"""What a self-check finds, as one document: plain data, and how it follows from its findings. Pure."""

from typing import TypeVar

import msgspec

from dbbench.engine.opening import problem_line
from dbbench.records import Finding, NoiseFloor, Overhead, Pgbench, SelfChecked, Sensitivity, status

_F = TypeVar("_F", bound=Finding)


class SelfCheck(msgspec.Struct, frozen=True):
    """How far this machine can be trusted."""

    harness_overhead: list[Overhead]
    noise_floor: list[NoiseFloor]
    sensitivity: list[Sensitivity]
    pgbench: Pgbench | None
    problems: list[str]
    measured: str = ""  # UTC, ISO 8601
    status: str = "complete"  # how it ended
    reason: str = ""  # why it ended early

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return self.status in ("complete", "degraded")


def self_check(stored: SelfChecked) -> SelfCheck:
    """What the findings of a result file say, however far the self-check came."""

    def all_(kind: type[_F]) -> list[_F]:
        return [finding for finding in stored.findings if isinstance(finding, kind)]

    end = stored.end
    return SelfCheck(
        harness_overhead=all_(Overhead),
        noise_floor=all_(NoiseFloor),
        sensitivity=all_(Sensitivity),
        pgbench=next(iter(all_(Pgbench)), None),
        problems=[problem_line(problem) for problem in stored.problems],
        measured=end.finished if end else "",
        status=status(end),
        reason=end.reason if end else "",
    )

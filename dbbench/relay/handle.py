"""The parent's end of the relay: clients that connect to it instead of the server are counted, or delayed."""

import shutil
import subprocess
from contextlib import suppress
from typing import Final

import msgspec

from dbbench.address import Address
from dbbench.child import Child, WorkerFailedError
from dbbench.errors import CannotStartError, UsageError
from dbbench.relay import orders
from dbbench.relay.frame import Recorded

_PATIENCE_S: Final = 60.0
_END_LIMIT_S: Final = 5.0
_TLS_MODES: Final = ("require", "verify-ca", "verify-full")


def can_relay(upstream: Address) -> bool:
    """Whether what passes can be understood: not when the server is to be talked to through TLS."""
    return upstream.sslmode not in _TLS_MODES


def refuse_tls(upstream: Address) -> None:
    """Raise UsageError when the server is to be talked to through TLS."""
    if not can_relay(upstream):
        raise UsageError(
            "the messages cannot be counted, nor delayed, through TLS: use a URL with sslmode=disable or prefer, "
            "or measure on a server that takes unencrypted connections"
        )


class RelayProcess(Child[orders.Order]):
    """A process between drivers and one server. Use it as a context manager: it does not outlive the block."""

    def __init__(self, upstream: Address, cpus: list[int] | None = None) -> None:
        """Start it, on these CPUs.

        Raises UsageError when the server is to be talked to through TLS, CannotStartError when it cannot begin.
        """
        refuse_tls(upstream)
        super().__init__("the relay", "dbbench.relay.process", orders.decode_reply)
        self._upstream = upstream
        self._directory = ""
        try:
            begin = orders.Begin(msgspec.structs.replace(upstream, password=""), cpus)
            self._directory = self.ask(begin, orders.Begun, _PATIENCE_S).directory
        except WorkerFailedError as error:
            self.end()
            raise CannotStartError(str(error)) from None
        except BaseException:
            self.end()
            raise

    def listen(self, *, rtt_s: float = 0.0, record: bool = False) -> Address:
        """Where to connect instead: each round trip takes `rtt_s` seconds longer, messages are recorded if asked to."""
        listening = self.ask(orders.Listen(rtt_s, record), orders.Listening, _PATIENCE_S)
        return msgspec.structs.replace(self._upstream, host=listening.host, port=listening.port, sslmode="disable")

    def cut(self) -> Recorded:
        """What has passed the recording listeners since the last cut."""
        return self.ask(orders.Cut(), orders.Cutting, _PATIENCE_S).recorded

    def end(self) -> None:
        """End it, with all connections."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_LIMIT_S)
        super().end()
        if self._directory:  # it is still there if the process was killed
            shutil.rmtree(self._directory, ignore_errors=True)

"""Words that options, plans and results choose from. Imports nothing heavy: `--help` shows them."""

from typing import Literal

Layer = Literal["orm", "core", "raw", "app"]
TxEnd = Literal["rollback", "commit", "autocommit"]
Checkout = Literal["request", "session"]
PlacementMode = Literal["split", "shared", "free"]
IdleMode = Literal["awake", "sleep"]
Loop = Literal["asyncio", "uvloop"]
Arrival = Literal["poisson", "constant"]
Decimal = Literal["point", "comma"]
OnDisconnect = Literal["abort", "reconnect"]
PoolerMode = Literal["transaction", "session"]
Isolation = Literal["read-committed", "repeatable-read", "serializable"]
JsonLibrary = Literal["stdlib", "orjson", "msgspec"]
Between = Literal["scenarios"]
Compare = Literal["settings", "all"]
Preset = Literal["async", "sync", "all"]

"""The parameters of a URL: those that mean the same to every driver, and what to do about the others."""

import re
from collections.abc import Mapping
from typing import Final

from dbbench.drivers import DRIVERS
from dbbench.drivers.settings import Setting
from dbbench.errors import UsageError

SSLMODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
TLS: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "ssl_min_protocol_version", "ssl_max_protocol_version")
"""Besides sslmode; libpq and asyncpg know these by the same names, with the same values."""

_OPTIONS: Final = {  # of SQLAlchemy's engine -> dbbench's option
    "pool_size": "--pool-size",
    "max_overflow": "--max-overflow",
    "pool_timeout": "--pool-timeout",
}
_SWITCHES: Final = {  # likewise, for one of its values
    ("pool_pre_ping", "true"): "--pool-pre-ping",
    ("poolclass", "nullpool"): "--null-pool",
    ("isolation_level", "autocommit"): "--tx-end autocommit",
}
_REASONS: Final = {
    "dbbench sets it itself": (
        "application_name", "fallback_application_name", "client_encoding", "connect_timeout", "timeout", "autocommit",
        "server_settings", "min_size", "max_size", "hide_parameters",
    ),
    "ALTER ROLE ... SET sets what it does for every driver": (
        "options", "search_path", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout",
        "timezone", "jit", "work_mem", "default_transaction_isolation",
    ),
    "dbbench measures one server, a primary": ("target_session_attrs", "load_balance_hosts"),
    "write host, user and database into the URL": ("service", "servicefile"),
    "the variable PGPASSFILE names the file": ("passfile",),
    "use a key without a password": ("sslpassword",),
    "asyncpg does not have it": (
        "hostaddr", "channel_binding", "gssencmode", "gssdelegation", "keepalives", "keepalives_idle",
        "keepalives_interval", "keepalives_count", "tcp_user_timeout", "sslcompression", "sslcertmode", "sslcrldir",
        "sslsni", "requirepeer", "requiressl", "require_auth", "min_protocol_version", "max_protocol_version",
        "replication", "sslkeylogfile", "scram_client_key", "scram_server_key", "oauth_issuer", "oauth_client_id",
        "oauth_client_secret", "oauth_scope",
    ),
    "dbbench has no option for it": (
        "pool_pre_ping", "poolclass", "isolation_level", "pool_recycle", "pool_use_lifo", "pool_reset_on_return",
        "echo", "echo_pool", "query_cache_size", "executemany_mode", "use_insertmanyvalues", "async_fallback",
        "cursor_factory", "row_factory", "connection_factory", "connection_class", "record_class", "command_timeout",
        "direct_tls", "sslnegotiation", "max_queries", "max_inactive_connection_lifetime", "krbsrvname", "gsslib",
        "empty_in_strategy", "enable_from_linting", "execution_options", "future", "insertmanyvalues_page_size",
        "json_deserializer", "json_serializer", "logging_name", "pool_logging_name", "max_identifier_length",
        "native_inet_types", "plugins", "skip_autocommit_rollback",
    ),
}  # fmt: skip
_REASON_OF: Final = {name: reason for reason, names in _REASONS.items() for name in names}
_PLAIN: Final = re.compile(r"[\w.]{1,40}")


def tls_of(query: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The sslmode in a URL's parameters, which asyncpg calls `ssl` too, and its other parameters of TLS.

    Raises UsageError for everything that dbbench cannot give to all drivers alike: all of it at once, with what to do
    about each.
    """
    modes = {name: query[name] for name in ("sslmode", "ssl") if query.get(name)}
    tls = {name: query[name] for name in TLS if name in query}
    bad = {name: _instead(name, value) for name, value in query.items() if name not in ("sslmode", "ssl", *TLS)}
    for name, mode in modes.items():
        if mode not in SSLMODES:
            bad[name] = f"give sslmode={', '.join(SSLMODES[:-1])} or {SSLMODES[-1]}"
    if len(set(modes.values())) > 1:
        bad.setdefault("ssl", "leave it out: sslmode is given, too")
    if tls.get("sslrootcert") == "system":
        bad["sslrootcert"] = "give the file: asyncpg does not know where the system has its certificates"
    if bad:
        advice = "; ".join(f"{name}: {what}" for name, what in bad.items())
        raise UsageError("it has parameters that do not mean the same to every driver", advice)
    return next(iter(modes.values()), ""), tls


def _instead(name: str, value: str) -> str:
    """What to do about a parameter that dbbench does not take. A value may be secret: only a plain one is repeated."""
    for driver in DRIVERS.values():
        if name in driver.settings:
            shown = value if _fits(driver.settings[name], value) else "VALUE"
            return f"give --driver-set {driver.name}.{name}={shown} instead"
    if name in _OPTIONS:
        return f"give {_OPTIONS[name]} {value if _PLAIN.fullmatch(value) else 'VALUE'} instead"
    if option := _SWITCHES.get((name, value.lower())):
        return f"give {option} instead"
    return f"leave it out: {_REASON_OF.get(name, 'dbbench does not know it')}"


def _fits(setting: Setting, value: str) -> bool:
    try:
        setting.parse(value)
    except ValueError:
        return False
    return True

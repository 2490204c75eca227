"""What kind of failure an exception is, whatever the driver."""


def code_of(error: BaseException) -> str:
    """The SQLSTATE of the server's error, five characters; the name of the exception's class where there is none.

    SQLAlchemy wraps the driver's exception. psycopg and asyncpg call the code `sqlstate`, psycopg2 `pgcode`.
    """
    cause = getattr(error, "orig", None) or error
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return code if isinstance(code, str) else type(cause).__name__

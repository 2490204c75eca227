"""What kind of failure an exception is, whatever the driver."""


def code_of(error: BaseException, attribute: str) -> str:
    """The SQLSTATE of the server's error, five characters; the name of the exception's class where there is none.

    SQLAlchemy wraps the driver's exception; `attribute` is where that has the code (drivers.Driver.sqlstate).
    """
    cause = getattr(error, "orig", None) or error
    code = getattr(cause, attribute, None)
    return code if isinstance(code, str) else type(cause).__name__

"""The kind of failure behind an exception, whatever the driver."""


def code_of(error: BaseException, attribute: str) -> str:
    """The SQLSTATE of the server's error, five characters; without one, the name of the exception's class.

    SQLAlchemy wraps the driver's exception; `attribute` is that exception's attribute with the code
    (drivers.Driver.sqlstate).
    """
    cause = getattr(error, "orig", None) or error
    code = getattr(cause, attribute, None)
    return code if isinstance(code, str) else type(cause).__name__

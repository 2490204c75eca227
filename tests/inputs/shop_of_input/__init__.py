"""A package that exports whatever it has, names of dbbench's among them."""

QUERY = "SELECT 40 + $1::int"
rows = 7
SESSIONS = "of the shop's users"


def raw():
    return QUERY


def reset(everything):
    raise AssertionError(everything)

"""Rooms that are free: ranges of dates and times, as a booking system keeps them.

Right outcome: equal for all four drivers, which have a range type of their own each. Before, every driver but the
baseline was "not comparable": <Range [1, 5)> against Range(1, 5, '[)').
"""

import datetime


def prepare(connection, params):
    connection.exec_driver_sql("CREATE TABLE bookings (room int, during tstzrange, nights daterange)")
    connection.exec_driver_sql(
        "INSERT INTO bookings SELECT mod(n, 20), tstzrange(t, t + interval '2 hours'), daterange(t::date, t::date + 3)"
        " FROM generate_series(1, 400) n, LATERAL (SELECT timestamptz '2026-01-01 00:00+00' + n * interval '3 hours' AS t) x"
    )


async def raw(db, params, rng):
    when = datetime.datetime(2026, 1, rng.randint(2, 28), tzinfo=datetime.UTC)
    rows = await db.fetch_all(
        "SELECT room, during, nights FROM bookings WHERE during && tstzrange($1::timestamptz, $1::timestamptz + interval '1 day') ORDER BY during, room",
        when,
    )
    return [tuple(row) for row in rows]

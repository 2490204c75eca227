"""A scenario that begins as the shop's own modules do, with a star: rows, reset and SESSIONS are the shop's, not its own."""

from shop_of_input import *  # noqa: F403


async def raw(db, params, rng):
    return await db.fetch_one(QUERY, rng.randint(1, 3))  # noqa: F405

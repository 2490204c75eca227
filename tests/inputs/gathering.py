"""A handler that waits for its query with a time limit, which threads cannot have: sync drivers are told so, with the line."""

import asyncio


async def raw(db, params, rng):
    async with asyncio.timeout(5):
        return await db.fetch_one("SELECT $1::int", rng.randint(1, 5))

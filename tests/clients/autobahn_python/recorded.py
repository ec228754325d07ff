#!/usr/bin/env python3
"""Asks a recorder through the router that it listens to.

    recorded.py URL REALM SERIALIZER TOPIC

Prints what it was answered as one JSON line.
"""
import asyncio
import json
import sys

from autobahn.wamp.exception import ApplicationError

from joined import joined, subscribed

GET_EVENTS = "rewamp.history.get_events"


async def main(url, realm, serializer, topic):
    async with joined(url, realm, serializer) as session:
        subscription, _ = await subscribed(session, topic)

        async def ask(*args, **kwargs):
            events = await session.call(GET_EVENTS, *args, **kwargs)
            return [event["publication"] for event in events]

        async def error(*args, **kwargs):
            try:
                return await ask(*args, **kwargs)
            except ApplicationError as refused:
                return refused.error

        print(json.dumps({
            "oldest": await ask(topic, limit=3),
            "newest": await ask(topic, limit=2, reverse=True),
            "by_subscription": await ask(subscription.id, limit=100),
            "unknown": await error(12345, limit=1),
            "uncovered": await error("org.nothing", limit=1),
        }), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

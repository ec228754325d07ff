#!/usr/bin/env python3
"""Publishes without waiting for anything, or expects what was so published: URL VERB COUNT."""
import asyncio
import sys

from joined import joined

TOPIC = "com.example.unacknowledged"


async def main(url, verb, count):
    numbers = list(range(int(count)))
    async with joined(url, "realm1", "msgpack") as session:
        if verb == "publish":
            for number in numbers:
                session.publish(TOPIC, number)
        # The answer to a call comes after the publications before it were taken.
        subscription = await session.call("wamp.subscription.lookup", TOPIC)
        events = await session.call(
            "wamp.subscription.get_events", subscription, limit=len(numbers) + 1)
        found = [event["args"][0] for event in events]
        assert found == numbers, found


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

#!/usr/bin/env python3
"""From the past into the live events, prepared by a call, since Autobahn|Python sends the options
that it knows.

    replay.py URL REALM SERIALIZER

The realm keeps prefix com.example.log.
"""
import asyncio
import sys
import uuid

from autobahn.wamp.types import PublishOptions

from joined import joined, next_of, refused, subscribed

PREPARE = "rewamp.subscription.prepare_replay"


async def main(url, realm, serializer):
    async with joined(url, realm, serializer) as session, joined(url, realm, serializer) as other:
        topic = "com.example.log." + uuid.uuid4().hex
        published = await publish(other, topic, range(8))
        _, live = await subscribed(session, "rewamp.subscription.on_live")
        await session.call(PREPARE, topic, {"after_publication": published[2]})
        subscription, events = await subscribed(session, topic)
        for n in range(3, 8):
            args, _, details = await next_of(events)
            assert (args, details.publication) == ([n], published[n]), (args, details)
        args, _, _ = await next_of(live)
        assert args[0] == subscription.id and args[1] > 0, args
        await publish(other, topic, range(8, 10))
        assert [(await next_of(events))[0] for _ in range(2)] == [[8], [9]]
        await the_state_of_every_topic(session, other, topic)
        await refused("wamp.error.invalid_argument", session.call(PREPARE, topic, {"last": "x"}))
        await refused("wamp.error.invalid_argument", session.call(PREPARE, topic, {}))
        assert events.empty() and live.qsize() == 1


async def the_state_of_every_topic(session, other, topic):
    """The newest of each, and then what is new."""
    prefix = topic + "."
    for n in range(3):
        for device in "abc":
            await publish(other, prefix + device, [n])
    await session.call(PREPARE, prefix, {"match": "prefix", "last_per_topic": 1})
    _, devices = await subscribed(session, prefix, {"match": "prefix"})
    state = [await next_of(devices) for _ in range(3)]
    assert [args for args, _, _ in state] == [[2]] * 3, state
    assert [details.topic[-1] for _, _, details in state] == ["a", "b", "c"], state
    await publish(other, prefix + "b", [3])
    assert (await next_of(devices))[0] == [3]
    assert devices.empty()


async def publish(session, topic, numbers):
    options = PublishOptions(acknowledge=True)
    return [(await session.publish(topic, n, options=options)).id for n in numbers]


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

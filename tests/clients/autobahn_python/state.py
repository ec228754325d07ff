#!/usr/bin/env python3
"""The state of many topics, now and as it was, and what there is in a history.

    state.py URL REALM SERIALIZER

The realm keeps prefix com.example. for an hour.
"""
import asyncio
import sys
import uuid

from autobahn.wamp.types import PublishOptions, SubscribeOptions

from joined import joined, refused

GET_EVENTS = "wamp.subscription.get_events"
HISTORY_INFO = "rewamp.subscription.history_info"
LOOKUP = "wamp.subscription.lookup"


async def main(url, realm, serializer):
    async with joined(url, realm, serializer) as session:
        site = f"com.example.{uuid.uuid4().hex}."
        for n in range(5):
            for device in range(20 - 4 * n):
                await session.publish(f"{site}device{device}", n, device,
                                      options=PublishOptions(acknowledge=True))
        devices = await session.call(LOOKUP, site, {"match": "prefix"})
        await the_newest_of_each(session, site, devices)
        await what_there_is(session, site, devices)


async def the_newest_of_each(session, site, devices):
    """Device d has published while 20 - 4 n > d."""
    state = await session.call(GET_EVENTS, devices, last_per_topic=1)
    assert len(state) == 20, len(state)
    for event in state:
        n, device = event["args"]
        assert event["topic"] == f"{site}device{device}"
        assert n == (19 - device) // 4, event
    assert [e["sequence"] for e in state] == sorted(e["sequence"] for e in state)
    first = await session.call(GET_EVENTS, devices, limit=20)
    then = await session.call(GET_EVENTS, devices, last_per_topic=1,
                              until_time=first[-1]["timestamp"])
    assert then == first
    two = await session.call(GET_EVENTS, devices, last_per_topic=2, reverse=True)
    assert len(two) == 20 + 16 and two[0]["sequence"] == state[-1]["sequence"]
    for wrong in (0, -1, "1", 1.5):
        await refused("wamp.error.invalid_argument",
                      session.call(GET_EVENTS, devices, last_per_topic=wrong))


async def what_there_is(session, site, devices):
    info = await session.call(HISTORY_INFO, devices)
    assert (info["subscription"], info["uri"], info["match"]) == (devices, site, "prefix"), info
    assert info["count"] == 20 + 16 + 12 + 8 + 4 and info["bytes"] > 0, info
    assert info["limits"]["max-age"] == 3600 and info["limits"]["maxsize"] > 0, info
    assert len(info["incarnation"]) == 32 and info["lost"] == [], info
    whole = await session.call(GET_EVENTS, devices, limit=100)
    for end, event in [("oldest", whole[0]), ("newest", whole[-1])]:
        assert info[end] == {name: event[name] for name in info[end]}, info
        assert {"publication", "sequence", "timestamp"} == info[end].keys()
    await refused("wamp.error.no_such_subscription", session.call(HISTORY_INFO, 12345))
    other = await session.subscribe(lambda: None, "org.unkept.topic", SubscribeOptions())
    await refused("wamp.error.history_unavailable", session.call(HISTORY_INFO, other.id))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

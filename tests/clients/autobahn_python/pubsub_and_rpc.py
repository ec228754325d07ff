#!/usr/bin/env python3
"""Publications and calls between two sessions: URL REALM SERIALIZER."""
import asyncio
import sys

from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import CallResult, PublishOptions

from joined import joined, next_of, refused, subscribed

TOPIC = "com.client.topic"
VALUES = [0, -1, 2**53, -2**63, 2**64 - 1, 1.5, -0.25, "Grüße, 世界 🌍", "", None, True, False,
          [], {}, [1, [2, [3, {"deep": [None]}]]], {"a": {"b": {"c": 1}}}, b"", b"\x00\x01\xff" * 20]
ACKNOWLEDGED = {"acknowledge": True}


async def main(url, realm, serializer):
    async with joined(url, realm, serializer) as one, joined(url, realm, serializer) as other:
        await events_arrive_as_they_were_sent(one, other)
        await publishers_hear_themselves_only_on_request(one, other)
        await receivers_are_chosen(one, other)
        await calls_are_answered(one, other)
        await errors_come_back_to_the_caller(one, other)


async def events_arrive_as_they_were_sent(one, other):
    subscription, events = await subscribed(other, TOPIC)
    published = []
    for value in VALUES:
        publication = await one.publish(
            TOPIC, value, [value], key=value, options=PublishOptions(**ACKNOWLEDGED))
        published.append(publication.id)
    one.publish(TOPIC)  # neither args nor kwargs, nor an acknowledgement
    for value, publication in zip(VALUES, published):
        args, kwargs, details = await next_of(events)
        same(args, [value, [value]])
        same(kwargs, {"key": value})
        assert details.publication == publication, (details.publication, publication)
    args, kwargs, _ = await next_of(events)
    assert (args, kwargs) == ([], {}), (args, kwargs)
    assert len(set(published)) == len(published), "publication IDs repeat"

    await subscription.unsubscribe()
    await one.publish(TOPIC, "unheard", options=PublishOptions(**ACKNOWLEDGED))
    again, fresh = await subscribed(other, TOPIC)
    await one.publish(TOPIC, "heard", options=PublishOptions(**ACKNOWLEDGED))
    assert (await next_of(fresh))[0] == ["heard"]
    assert events.empty(), "an event after UNSUBSCRIBED"
    await again.unsubscribe()


async def publishers_hear_themselves_only_on_request(one, other):
    mine, mine_events = await subscribed(one, TOPIC)
    theirs, their_events = await subscribed(other, TOPIC)
    await one.publish(TOPIC, 1, options=PublishOptions(**ACKNOWLEDGED))
    await one.publish(TOPIC, 2, options=PublishOptions(exclude_me=False, **ACKNOWLEDGED))
    assert (await next_of(mine_events))[0] == [2]
    assert [(await next_of(their_events))[0] for _ in range(2)] == [[1], [2]]
    await mine.unsubscribe()
    await theirs.unsubscribe()


async def receivers_are_chosen(one, other):
    subscription, events = await subscribed(other, TOPIC)
    me = other.details.session
    for counter, options in enumerate([{"exclude": [me]}, {"eligible": [me]},
                                       {"eligible_authrole": ["nobody"]},
                                       {"exclude_authid": [other.details.authid]},
                                       {"eligible_authid": [other.details.authid]}]):
        await one.publish(TOPIC, counter, options=PublishOptions(**options, **ACKNOWLEDGED))
    assert [(await next_of(events))[0] for _ in range(2)] == [[1], [4]]
    await subscription.unsubscribe()


async def calls_are_answered(one, other):
    def echo(*args, **kwargs):
        return CallResult(*args, **kwargs)

    def add2(a, b):
        return a + b

    echoing = await other.register(echo, "com.client.echo")
    adding = await other.register(add2, "com.client.add2")
    assert await one.call("com.client.add2", 2, 3) == 5
    for value in VALUES:
        result = await one.call("com.client.echo", value, 1, key=value)
        same([list(result.results), result.kwresults], [[value, 1], {"key": value}])
    many = await asyncio.gather(*(one.call("com.client.add2", n, n) for n in range(200)))
    assert many == [2 * n for n in range(200)], many
    await echoing.unregister()
    await adding.unregister()
    await refused("wamp.error.no_such_procedure", one.call("com.client.add2", 2, 3))


async def errors_come_back_to_the_caller(one, other):
    def fail():
        raise ApplicationError("com.client.error.odd", "reason", 7, key=[1, 2])

    failing = await other.register(fail, "com.client.fail")
    error = await refused("com.client.error.odd", one.call("com.client.fail"))
    assert list(error.args) == ["reason", 7] and error.kwargs == {"key": [1, 2]}, (
        error.args, error.kwargs)
    await refused("wamp.error.procedure_already_exists", one.register(fail, "com.client.fail"))
    await failing.unregister()


def same(found, sent):
    """Equal, and of the same types all the way down: 1 is not True, and not 1.0."""
    assert repr(found) == repr(sent), f"{found!r} is not {sent!r}"


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

#!/usr/bin/env python3
"""The past of topics, asked for in Crossbar's way and in the specification's.

    history.py URL REALM SERIALIZER [crossbar]

The realm keeps exact com.example.oncounter and prefix com.example.log. — with `crossbar` only
what Crossbar's memory store can answer is asked.
"""
import asyncio
import datetime
import re
import sys
import uuid

from autobahn.wamp.types import PublishOptions, SubscribeOptions

from joined import joined, refused, subscribed

GET_EVENTS = "wamp.subscription.get_events"
LOOKUP = "wamp.subscription.lookup"
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
KEYS = {"timestamp", "time_ns", "subscription", "publication", "sequence", "topic", "details",
        "args", "kwargs", "realm"}


async def main(url, realm, serializer, router=None):
    async with joined(url, realm, serializer) as session, joined(url, realm, serializer) as other:
        await positional_calls_are_crossbars(session, other)
        if router == "crossbar":
            return
        topic = "com.example.log." + uuid.uuid4().hex
        published = await publish(session, topic, 7)
        subscription = await session.call(LOOKUP, topic)
        events = await session.call(GET_EVENTS, subscription, limit=100)
        records_say_everything(events, realm, topic, subscription, published)
        await keywords_choose_a_range(session, subscription, events)
        await pages_make_the_whole(session, subscription, published)
        await patterns_hold_their_topics(session, topic, published)
        await what_nobody_may_see_is_not_there(session, other)
        await bad_questions_get_an_answer(session, subscription, published)


async def publish(session, topic, count):
    """Publishes 0 … count - 1, acknowledged; nobody needs to be subscribed."""
    options = PublishOptions(acknowledge=True)
    return [(await session.publish(topic, n, n=n, options=options)).id for n in range(count)]


async def positional_calls_are_crossbars(session, other):
    """Newest first, ten of them unless told; an empty list for a limit of nothing."""
    topic = "com.example.oncounter"
    subscription, _ = await subscribed(other, topic)
    published = await publish(session, topic, 12)
    newest = published[::-1]
    assert await session.call(LOOKUP, topic) == subscription.id

    async def answer(*args, **kwargs):
        return ids(await session.call(GET_EVENTS, *args, **kwargs))

    assert await answer(subscription.id) == newest[:10]
    assert await answer(subscription.id, 3) == newest[:3]
    assert await answer(subscription.id, 12) == newest
    assert await answer(subscription.id, 1) == newest[:1]
    assert await answer(subscription.id, 0) == []
    assert await answer(subscription.id, -1) == []
    assert (await answer(subscription.id, None))[:12] == newest
    assert await answer(subscription_id=subscription.id) == newest[:10]
    await subscription.unsubscribe()
    assert await answer(subscription.id, 3) == newest[:3], "it survives its last subscriber"
    event = (await session.call(GET_EVENTS, subscription.id, 1))[0]
    assert (event["args"], event["kwargs"]) == ([11], {"n": 11}), event


def records_say_everything(events, realm, topic, subscription, published):
    assert ids(events) == published, "not each event once, in order"
    for n, event in enumerate(events):
        assert KEYS <= event.keys(), KEYS - event.keys()
        assert event["topic"] == topic and event["subscription"] == subscription, event
        assert event["realm"] == realm and isinstance(event["details"], dict), event
        assert (event["args"], event["kwargs"]) == ([n], {"n": n}), event
        assert RFC3339.fullmatch(event["timestamp"]), event["timestamp"]
        assert nanoseconds(event["timestamp"]) == event["time_ns"], event
        assert not {"publisher", "session_id", "authid"} & event.keys(), "disclosed unasked"
    times = [event["time_ns"] for event in events]
    sequences = [event["sequence"] for event in events]
    assert times == sorted(set(times)) and sequences == sorted(set(sequences))


async def keywords_choose_a_range(session, subscription, events):
    whole = ids(events)
    at = events[2]
    for name, value in [("time", at["timestamp"]), ("publication", at["publication"]),
                        ("sequence", at["sequence"])]:
        for relation, expected in [("from", whole[2:]), ("after", whole[3:]),
                                   ("before", whole[:2]), ("until", whole[:3])]:
            chosen = await session.call(
                GET_EVENTS, subscription, **{f"{relation}_{name}": value})
            assert ids(chosen) == expected, f"{relation}_{name}: {ids(chosen)}"
    for keywords, expected in [
        ({"limit": 3}, whole[:3]),
        ({"reverse": True}, whole[::-1]),
        ({"reverse": False}, whole),
        ({"reverse": True, "limit": 3}, whole[::-1][:3]),
        ({"after_publication": whole[0], "limit": 2}, whole[1:3]),
        ({"after_publication": whole[1], "before_time": events[5]["timestamp"]}, whole[2:5]),
        ({"until_publication": whole[4], "reverse": True, "limit": 2}, [whole[4], whole[3]]),
        ({"topic": events[0]["topic"]}, whole),
        ({"topic": "com.example.log.nothing"}, []),
        ({"before_publication": whole[0]}, []),
        ({"from_time": "2000-01-01T00:00:00Z"}, whole),
        ({"from_time": "2000-01-01T01:00:00.5+01:00"}, whole),
        ({"after_time": "2999-01-01T00:00:00Z"}, []),
    ]:
        chosen = await session.call(GET_EVENTS, subscription, **keywords)
        assert ids(chosen) == expected, f"{keywords}: {ids(chosen)}"
    # A positional limit beside keywords is the limit, and the rules are those of keywords.
    assert ids(await session.call(GET_EVENTS, subscription, 2, reverse=False)) == whole[:2]


async def pages_make_the_whole(session, subscription, published):
    collected, last = [], {}
    while page := await session.call(GET_EVENTS, subscription, limit=2, **last):
        collected += ids(page)
        last = {"after_publication": collected[-1]}
    assert collected == published, collected


async def patterns_hold_their_topics(session, topic, published):
    prefix = await session.call(LOOKUP, "com.example.log.", {"match": "prefix"})
    chosen = await session.call(GET_EVENTS, prefix, topic=topic)
    assert ids(chosen) == published
    assert {event["topic"] for event in chosen} == {topic}
    assert ids(await session.call(GET_EVENTS, prefix, 7)) == published[::-1]
    # A narrower pattern than the filter's has a history as well, with or without a subscriber.
    wildcard, _ = await subscribed(session, "com.example.log.", {"match": "wildcard"})
    assert ids(await session.call(GET_EVENTS, wildcard.id, topic=topic)) == published
    await wildcard.unsubscribe()


async def what_nobody_may_see_is_not_there(session, other):
    """Session lists are not stored; lists by authrole and authid hold for whoever asks."""
    topic = "com.example.log." + uuid.uuid4().hex
    for n, options in enumerate([{"exclude": [other.details.session]},
                                 {"eligible": [session.details.session]},
                                 {"eligible_authrole": ["somebody-else"]},
                                 {"exclude_authrole": ["somebody-else"]},
                                 {"eligible_authid": [other.details.authid]}]):
        options = PublishOptions(acknowledge=True, **options)
        await session.publish(topic, n, options=options)
    subscription = await session.call(LOOKUP, topic)
    seen = {}
    for name, who in [("session", session), ("other", other)]:
        events = await who.call(GET_EVENTS, subscription, limit=100)
        seen[name] = [event["args"][0] for event in events]
    assert seen == {"session": [3], "other": [3, 4]}, seen


async def bad_questions_get_an_answer(session, subscription, published):
    ask = lambda *args, **kwargs: session.call(GET_EVENTS, *args, **kwargs)  # noqa: E731
    await refused("wamp.error.no_such_subscription", ask(12345))
    without = await session.subscribe(lambda: None, "org.unkept.topic", SubscribeOptions())
    await refused("wamp.error.history_unavailable", ask(without.id, 10))
    await refused("wamp.error.history_unavailable", ask(without.id, reverse=True))
    invalid = "wamp.error.invalid_argument"
    for keywords in [{"limit": 0}, {"limit": "3"}, {"limit": 2.5}, {"reverse": 1},
                     {"from_time": "yesterday"}, {"after_time": 17}, {"topic": 4},
                     {"after_publication": "x"}, {"frobnicate": True}]:
        error = await refused(invalid, ask(subscription, **keywords))
        (name,) = keywords
        assert name in str(error.args) + str(error.kwargs), f"{name} is not named: {error}"
    await refused(invalid, ask())
    await refused(invalid, ask("abc"))
    gone = await refused("rewamp.error.no_such_publication", ask(subscription, after_publication=1))
    for end, publication in [("oldest", published[0]), ("newest", published[-1])]:
        assert gone.kwargs[end]["publication"] == publication, gone.kwargs
        assert {"publication", "sequence", "timestamp"} <= gone.kwargs[end].keys()


def ids(events):
    return [event["publication"] for event in events]


def nanoseconds(timestamp):
    """Python's own parser stops at microseconds."""
    seconds, _, fraction = timestamp.rstrip("Z").partition(".")
    moment = datetime.datetime.fromisoformat(seconds + "+00:00")
    return int(moment.timestamp()) * 10**9 + int(fraction.ljust(9, "0") or 0)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

#!/usr/bin/env python3
"""Pattern subscriptions, and what the meta API tells about sessions and subscriptions.

    patterns_and_meta.py URL REALM SERIALIZER [crossbar]
"""
import asyncio
import sys

from autobahn.wamp.types import PublishOptions

from joined import joined, next_of, refused, subscribed


async def main(url, realm, serializer, router=None):
    async with joined(url, realm, serializer) as watcher, joined(url, realm, serializer) as other:
        await patterns_match(watcher, other)
        await comings_and_goings_are_told(watcher, (url, realm, serializer))
        await subscriptions_are_told(watcher, other)
        await questions_are_answered(watcher, other, router)


async def patterns_match(watcher, other):
    prefix, prefix_events = await subscribed(watcher, "org.app.cre", {"match": "prefix"})
    wild, wild_events = await subscribed(watcher, "org..created", {"match": "wildcard"})
    exact, exact_events = await subscribed(watcher, "org.app.created")
    options = PublishOptions(acknowledge=True)
    topics = ["org.app.created", "org.app.credit.new", "org.shop.created", "org.app.cr",
              "org.app.x.created", "org.app.created"]
    for topic in topics:
        await other.publish(topic, topic, options=options)
    for events, expected in [(prefix_events, [0, 1, 5]), (wild_events, [0, 2, 5]),
                             (exact_events, [0, 5])]:
        expected = [topics[n] for n in expected]
        found = [await next_of(events) for _ in expected]
        assert [args[0] for args, _, _ in found] == expected, found
        # Where it came by a pattern, the event names its topic.
        assert all(details.topic == args[0] for args, _, details in found), found
        assert events.empty(), "more events than topics that match"
    for subscription in (prefix, wild, exact):
        await subscription.unsubscribe()


async def comings_and_goings_are_told(watcher, where):
    joins, join_events = await subscribed(watcher, "wamp.session.on_join")
    leaves, leave_events = await subscribed(watcher, "wamp.session.on_leave")
    async with joined(*where) as guest:
        me = guest.details
        (details,), _, _ = await next_of(join_events)
        assert details["session"] == me.session, details
        assert (details["authid"], details["authrole"]) == (me.authid, "anonymous"), details
        sessions = await watcher.call("wamp.session.list")
        assert me.session in sessions and watcher.details.session in sessions, sessions
        assert await watcher.call("wamp.session.count") == len(sessions)
    args, _, _ = await next_of(leave_events)
    assert args[0] == me.session, args
    assert me.session not in await watcher.call("wamp.session.list")
    await joins.unsubscribe()
    await leaves.unsubscribe()


async def subscriptions_are_told(watcher, other):
    told = {}
    for name in ("create", "subscribe", "unsubscribe", "delete"):
        told[name] = await subscribed(watcher, f"wamp.subscription.on_{name}")
    subscription, _ = await subscribed(other, "org.told.", {"match": "prefix"})
    who = other.details.session

    async def hears(name, session):
        args, _, _ = await next_of(told[name][1])
        assert args[0] == session, (name, args)
        return args[1]

    created = await hears("create", who)
    assert (created["id"], created["uri"], created["match"]) == (
        subscription.id, "org.told.", "prefix"), created
    assert isinstance(created["created"], str), created
    assert await hears("subscribe", who) == subscription.id
    second, _ = await subscribed(watcher, "org.told.", {"match": "prefix"})
    assert second.id == subscription.id
    assert await hears("subscribe", watcher.details.session) == subscription.id
    await subscription.unsubscribe()
    assert await hears("unsubscribe", who) == subscription.id
    await second.unsubscribe()
    assert await hears("unsubscribe", watcher.details.session) == subscription.id
    assert await hears("delete", watcher.details.session) == subscription.id
    for meta, _ in told.values():
        await meta.unsubscribe()


async def questions_are_answered(watcher, other, router):
    ask = lambda name, *args: watcher.call(f"wamp.subscription.{name}", *args)  # noqa: E731
    exact, _ = await subscribed(other, "org.asked.topic")
    prefix, _ = await subscribed(other, "org.asked.", {"match": "prefix"})
    wild, _ = await subscribed(other, "org..topic", {"match": "wildcard"})
    assert await ask("lookup", "org.asked.topic") == exact.id
    assert await ask("lookup", "org.asked.", {"match": "prefix"}) == prefix.id
    assert await ask("lookup", "org.nobody.here") is None
    assert set(await ask("match", "org.asked.topic")) == {exact.id, prefix.id, wild.id}
    assert not await ask("match", "net.nobody.here")
    everything = await ask("list")
    assert exact.id in everything["exact"] and prefix.id in everything["prefix"], everything
    assert router == "crossbar" or wild.id in everything["wildcard"], everything
    got = await ask("get", prefix.id)
    assert (got["id"], got["uri"], got["match"]) == (prefix.id, "org.asked.", "prefix"), got
    assert await ask("list_subscribers", prefix.id) == [other.details.session]
    assert await ask("count_subscribers", prefix.id) == 1
    for name in ("get", "list_subscribers", "count_subscribers"):
        await refused("wamp.error.no_such_subscription", ask(name, 12345))
    if router != "crossbar":  # with a memory store it knows no session
        got = await watcher.call("wamp.session.get", other.details.session)
        assert (got["session"], got["authid"]) == (other.details.session, other.details.authid)
        await refused("wamp.error.no_such_session", watcher.call("wamp.session.get", 12345))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

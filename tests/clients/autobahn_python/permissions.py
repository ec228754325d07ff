#!/usr/bin/env python3
"""What the role of Crossbar's event-history page may do, and nothing more: URL REALM SERIALIZER.

Role `anonymous` is that page's; `blind` may call get_events but not subscribe.
"""
import asyncio
import sys

from autobahn.wamp.types import PublishOptions

from joined import joined, next_of, refused, subscribed

TOPIC = "com.example.oncounter"
GET_EVENTS = "wamp.subscription.get_events"
BLIND = {"ticket": {"authid": "blind", "ticket": "no-eyes"}}
ACKNOWLEDGED = PublishOptions(acknowledge=True)
DENIED = "wamp.error.not_authorized"


async def main(url, realm, serializer, router=None):
    async with joined(url, realm, serializer) as session, joined(url, realm, serializer) as other:
        subscription, events = await subscribed(other, TOPIC)
        publication = await session.publish(TOPIC, "allowed", options=ACKNOWLEDGED)
        args, _, details = await next_of(events)
        assert args == ["allowed"]
        # The page's rule discloses publishers.
        assert details.publisher == session.details.session, details
        assert details.publisher_authrole == "anonymous", details

        event = (await session.call(GET_EVENTS, subscription.id, 20))[0]
        assert (event["publication"], event["args"]) == (publication.id, ["allowed"]), event
        if router != "crossbar":
            who = session.details
            for key, value in [("publisher", who.session), ("publisher_authid", who.authid),
                               ("publisher_authrole", "anonymous")]:
                assert event[key] == value, f"{key} is {event.get(key)!r}, not {value!r}"
        assert (event["session_id"], event["authid"], event["authrole"]) == (
            session.details.session, session.details.authid, "anonymous"), event

        await nothing_else_is_allowed(session)
        async with joined(url, realm, serializer, BLIND) as blind:
            await refused(DENIED, blind.subscribe(lambda: None, TOPIC))
            if router != "crossbar":
                await refused(DENIED, blind.call(GET_EVENTS, subscription.id, 20))
                await refused(DENIED, blind.call(GET_EVENTS, subscription.id, reverse=True))


async def nothing_else_is_allowed(session):
    for topic in ("com.example.other", TOPIC + ".more", "com.example"):
        await refused(DENIED, session.publish(topic, 1, options=ACKNOWLEDGED))
        await refused(DENIED, session.subscribe(lambda: None, topic))
    await refused(DENIED, session.call(TOPIC))
    await refused(DENIED, session.call("wamp.subscription.lookup", TOPIC))
    await refused(DENIED, session.call("wamp.session.count"))
    await refused(DENIED, session.register(lambda: None, "com.example.procedure"))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""Asks for the newest events of a topic, whether or not anybody was there when they came."""
import sys

from autobahn.asyncio.component import Component, run

URL = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8080/ws"
component = Component(transports=URL, realm="realm1")


@component.on_join
async def ask(session, details):
    subscription = await session.call("wamp.subscription.lookup", "com.example.oncounter")
    events = await session.call("wamp.subscription.get_events", subscription, 10)
    for event in events:
        print(event["timestamp"], event["publication"], event["args"])
    session.leave()


run([component], log_level="warn")

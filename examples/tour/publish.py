"""Publishes three events; each acknowledgement says that the event is on disk."""
import sys

from autobahn.asyncio.component import Component, run
from autobahn.wamp.types import PublishOptions

URL = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8080/ws"
component = Component(transports=URL, realm="realm1")


@component.on_join
async def publish(session, details):
    for counter in (1, 2, 3):
        publication = await session.publish(
            "com.example.oncounter", counter, options=PublishOptions(acknowledge=True))
        print("published", counter, "as", publication.id)
    session.leave()


run([component], log_level="warn")

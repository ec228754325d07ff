#!/usr/bin/env python3
"""Plays a week of earthquakes as a stream of events, each published exactly once.

    npm install vega-datasets@3.2.1
    python3 earthquakes_publisher.py node_modules/vega-datasets/data/earthquakes.json

The data is the USGS feed of all earthquakes of a week, 1,707 of them. Each becomes an event of
topic org.usgs.earthquake.<network>, oldest first, acknowledged: with a persistent store and
`sync`, the acknowledgement says that the event is on disk. The node may stop, crash and come back
while this runs: publications of one session are stored in the order in which they were sent, so
the newest event of the history tells where to go on, and nothing is sent twice.
"""
import argparse
import asyncio
import collections
import json

from autobahn.asyncio.component import Component, run
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import PublishOptions

TOPICS = "org.usgs.earthquake."
WINDOW = 64  # publications under way at a time
ACKNOWLEDGED = PublishOptions(acknowledge=True)


def main():
    arguments = command_line()
    quakes = load(arguments.data)
    component = Component(
        transports=[{
            "type": "websocket", "url": arguments.url, "serializers": [arguments.serializer],
            "initial_retry_delay": 0.2, "max_retry_delay": 2,
        }],
        realm=arguments.realm,
        # Runs on every connection; where that is lost, Autobahn connects once more.
        main=lambda reactor, session: play(session, quakes, arguments.rate),
        is_fatal=refused,
    )
    run([component], log_level="warn")


def refused(error):
    """Whether the node said no: then a further attempt would tear a hole into the order."""
    return isinstance(error, ApplicationError) and not error.error.startswith("wamp.close.")


async def play(session, quakes, rate):
    """Publishes what the history does not have yet; returns when all is acknowledged."""
    done = await already_published(session, quakes)
    say(connected=True, already_published=done)
    waiting = collections.deque()  # for acknowledgements, oldest first
    try:
        for number, quake in enumerate(quakes[done:], start=done + 1):
            if len(waiting) == WINDOW:
                await waiting.popleft()
            waiting.append(asyncio.ensure_future(publish(session, number, quake)))
            await asyncio.sleep(1 / rate)
        while waiting:
            await waiting.popleft()
    finally:
        await asyncio.gather(*waiting, return_exceptions=True)
    say(done=True, published=len(quakes))


async def already_published(session, quakes):
    """How many of `quakes` the history has, by its newest event."""
    subscription = await session.call(
        "wamp.subscription.lookup", TOPICS, {"match": "prefix"})
    newest = await session.call("wamp.subscription.get_events", subscription, 1)
    if not newest:
        return 0
    ids = [quake["id"] for quake in quakes]
    return ids.index(newest[0]["args"][0]) + 1


async def publish(session, number, quake):
    publication = await session.publish(
        TOPICS + quake["network"], quake["id"], options=ACKNOWLEDGED,
        place=quake["place"], magnitude=quake["magnitude"], time=quake["time"],
        longitude=quake["longitude"], latitude=quake["latitude"], depth=quake["depth"])
    say(acknowledged=number, quake=quake["id"], publication=publication.id)


def load(path):
    """The earthquakes of a GeoJSON feed of the USGS, oldest first."""
    with open(path, encoding="utf-8") as file:
        features = json.load(file)["features"]
    quakes = []
    for feature in features:
        about = feature["properties"]
        longitude, latitude, depth = feature["geometry"]["coordinates"]
        quakes.append({
            "id": feature["id"], "network": about["net"], "place": about["place"],
            "magnitude": about["mag"], "time": about["time"],
            "longitude": longitude, "latitude": latitude, "depth": depth,
        })
    return sorted(quakes, key=lambda quake: (quake["time"], quake["id"]))


def say(**what):
    print(json.dumps(what), flush=True)


def command_line():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", help="a GeoJSON feed of earthquakes")
    parser.add_argument("--url", default="ws://127.0.0.1:8080/ws")
    parser.add_argument("--realm", default="realm1")
    parser.add_argument("--serializer", default="cbor", choices=["json", "msgpack", "cbor"])
    parser.add_argument("--rate", type=float, default=200, help="events a second, at most")
    return parser.parse_args()


if __name__ == "__main__":
    main()

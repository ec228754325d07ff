#!/usr/bin/env python3
"""Comes late, and asks for what it missed: by time at first, then by last publication.

    python3 late_client.py --since 2026-01-01T00:00:00Z --keep quakes.jsonl

What it has is in the file, one event a line, so the next start goes on where this one ended.
It catches up page by page, and then waits for events to ask for more; the live event is only
the door bell, the history is what counts: so nothing is missed and nothing is there twice.

The node may crash and come back. What it had shown but not yet put on disk is then gone, and
was acknowledged to nobody: on each connection the client lets go of such events first.
"""
import argparse
import asyncio
import json
import os

from autobahn.asyncio.component import Component, run
from autobahn.wamp.types import SubscribeOptions

TOPICS = "org.usgs.earthquake."
GET_EVENTS = "wamp.subscription.get_events"
PAGE = 100


class Kept:
    """The events that the client has, oldest first, in memory and in a file."""

    def __init__(self, path):
        self.path = path
        self.events = []
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self.events = [json.loads(line) for line in file if line.endswith("\n")]

    def add(self, events):
        self.events += events
        with open(self.path, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(event) + "\n" for event in events)

    def cut(self, length):
        """Forgets all but the first `length` events."""
        self.events = self.events[:length]
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            file.writelines(json.dumps(event) + "\n" for event in self.events)
        os.replace(self.path + ".new", self.path)


def main():
    arguments = command_line()
    kept = Kept(arguments.keep)
    component = Component(
        transports=[{
            "type": "websocket", "url": arguments.url, "serializers": [arguments.serializer],
            "initial_retry_delay": 0.2, "max_retry_delay": 2,
        }],
        realm=arguments.realm,
        # Runs on every connection; where that is lost, Autobahn connects once more.
        main=lambda reactor, session: follow(session, kept, arguments),
    )
    run([component], log_level="warn")


async def follow(session, kept, arguments):
    """Catches up, then waits for more; returns when it has as many events as it shall."""
    bell = asyncio.Event()
    session.on("leave", lambda *_: bell.set())
    subscription = await session.subscribe(
        lambda *args, **kwargs: bell.set(), TOPICS, SubscribeOptions(match="prefix"))
    await let_go_of_what_was_never_stored(session, subscription.id, kept)
    while True:
        bell.clear()
        await catch_up(session, subscription.id, kept, arguments.since)
        say(caught_up=len(kept.events), subscription=subscription.id)
        if arguments.count and len(kept.events) >= arguments.count:
            break
        await bell.wait()
        if not session.is_attached():
            raise ConnectionError("the node is gone")
    say(done=True, events=len(kept.events))


async def catch_up(session, subscription, kept, since):
    """Asks for page after page until there is nothing more."""
    while True:
        if kept.events:
            start = {"after_publication": kept.events[-1]["publication"]}
        else:
            start = {"from_time": since}
        page = await session.call(GET_EVENTS, subscription, limit=PAGE, **start)
        if not page:
            return
        kept.add(page)


async def let_go_of_what_was_never_stored(session, subscription, kept):
    """Keeps what the history has: sequences only grow, and what is lost is lost at the end."""
    if not kept.events:
        return
    newest = await session.call(
        GET_EVENTS, subscription, limit=1, reverse=True,
        until_sequence=kept.events[-1]["sequence"])
    last = newest[0]["sequence"] if newest else -1
    length = sum(event["sequence"] <= last for event in kept.events)
    if length < len(kept.events):
        say(let_go=len(kept.events) - length)
        kept.cut(length)


def say(**what):
    print(json.dumps(what), flush=True)


def command_line():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--url", default="ws://127.0.0.1:8080/ws")
    parser.add_argument("--realm", default="realm1")
    parser.add_argument("--serializer", default="msgpack", choices=["json", "msgpack", "cbor"])
    parser.add_argument("--since", default="1970-01-01T00:00:00Z", metavar="TIME",
                        help="where to start with nothing kept, RFC 3339")
    parser.add_argument("--keep", default="quakes.jsonl", metavar="FILE")
    parser.add_argument("--count", type=int, help="end with this many events; else never")
    return parser.parse_args()


if __name__ == "__main__":
    main()

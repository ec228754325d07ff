#!/usr/bin/env python3
"""Publishes to a new router what comes in at an old one, so that both can be compared while the
publishers still know the old one only.

    mirror.py OLD NEW [--realm realm1] [--prefix com.]

Goes on until it is interrupted. Publisher and publication ID at the new router are its own.
"""
import argparse
import asyncio

from autobahn.asyncio.component import Component, run
from autobahn.wamp.types import PublishOptions, SubscribeOptions

parser = argparse.ArgumentParser()
parser.add_argument("old")
parser.add_argument("new")
parser.add_argument("--realm", default="realm1")
parser.add_argument("--prefix", default="com.")
options = parser.parse_args()

old = Component(transports=options.old, realm=options.realm)
new = Component(transports=options.new, realm=options.realm)
events = asyncio.Queue(maxsize=10_000)


@old.on_join
async def listen(session, details):
    async def take(*args, event, **kwargs):
        await events.put((event.topic, args, kwargs))

    await session.subscribe(
        take, options.prefix, SubscribeOptions(match="prefix", details_arg="event"))
    print("mirroring", options.prefix, flush=True)


@new.on_join
async def publish(session, details):
    while session.is_connected():
        topic, args, kwargs = await events.get()
        await session.publish(
            topic, *args, **kwargs, options=PublishOptions(acknowledge=True))


run([old, new], log_level="warn")

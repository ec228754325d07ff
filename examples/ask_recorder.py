#!/usr/bin/env python3
"""Asks a recorder (`rewamp record`) at any router for the newest events of a topic.

    ask_recorder.py URL TOPIC [--realm realm1]
"""
import argparse

from autobahn.asyncio.component import Component, run

parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("topic")
parser.add_argument("--realm", default="realm1")
options = parser.parse_args()

component = Component(transports=options.url, realm=options.realm)


@component.on_join
async def ask(session, details):
    events = await session.call(
        "rewamp.history.get_events", options.topic, reverse=True, limit=10)
    for event in events:
        print(event["timestamp"], event["publication"], event["args"])
    session.leave()


run([component], log_level="warn")

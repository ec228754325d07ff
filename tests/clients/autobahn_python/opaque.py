#!/usr/bin/env python3
"""Payloads that only the clients can read, live and from the past: URL REALM SERIALIZER."""
import asyncio
import json
import sys

from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.interfaces import IPayloadCodec
from autobahn.wamp.types import EncodedPayload, PublishOptions

from joined import joined, next_of, refused, subscribed

TOPIC = "com.example.log.secret"
PROCEDURE = "com.client.reveal"


class Veil(IPayloadCodec):
    """Hides bytes from whoever does not know the trick."""

    def encode(self, is_originating, uri, args=None, kwargs=None):
        text = json.dumps([uri, args, kwargs]).encode()
        return EncodedPayload(bytes(byte ^ 0x55 for byte in text), "x_veil", enc_serializer="json", enc_key="k1")

    def decode(self, is_originating, uri, encoded_payload):
        assert encoded_payload.enc_algo == "x_veil", encoded_payload.enc_algo
        assert encoded_payload.enc_key == "k1", encoded_payload.enc_key
        uri, args, kwargs = json.loads(bytes(byte ^ 0x55 for byte in encoded_payload.payload))
        return uri, args, kwargs


async def main(url, realm, serializer):
    async with joined(url, realm, serializer) as one, joined(url, realm, serializer) as other:
        async with joined(url, realm, serializer) as reader:
            for session in one, other:
                session.set_payload_codec(Veil())
            await events_stay_hidden(one, other, reader)
            await calls_stay_hidden(one, other)


async def events_stay_hidden(one, other, reader):
    subscription, events = await subscribed(other, TOPIC)
    await one.publish(TOPIC, 1, "two", three=[3], options=PublishOptions(acknowledge=True))
    args, kwargs, _ = await next_of(events)
    assert (args, kwargs) == ([1, "two"], {"three": [3]}), (args, kwargs)

    stored = await reader.call("wamp.subscription.get_events", await id_of(reader), 1)
    (event,) = stored
    assert (event["args"], event["kwargs"]) == (None, None), event
    assert event["details"]["enc_algo"] == "x_veil", event
    hidden = event["payload"]
    assert json.loads(bytes(byte ^ 0x55 for byte in hidden)) == [TOPIC, [1, "two"], {"three": [3]}], hidden
    await subscription.unsubscribe()


async def id_of(reader):
    return await reader.call("wamp.subscription.lookup", "com.example.log.", {"match": "prefix"})


async def calls_stay_hidden(one, other):
    def reveal(number, of=0):
        if number < 0:
            raise ApplicationError("com.client.negative", number)
        return number + of

    registration = await other.register(reveal, PROCEDURE)
    assert await one.call(PROCEDURE, 40, of=2) == 42
    error = await refused("com.client.negative", one.call(PROCEDURE, -1))
    assert list(error.args) == [-1], error.args
    await registration.unregister()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

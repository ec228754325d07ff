#!/usr/bin/env python3
"""Runs every Python example of the README, in its order and with what one leaves to the next.

    readme.py URL REALM SERIALIZER README
"""
import ast
import asyncio
import re
import sys

from autobahn.wamp.types import PublishOptions, SubscribeOptions

from joined import joined


async def main(url, realm, serializer, readme):
    with open(readme, encoding="utf-8") as file:
        examples = re.findall(r"^```python\n(.*?)^```", file.read(), re.DOTALL | re.MULTILINE)
    assert examples, "no example"
    async with joined(url, realm, serializer) as session, joined(url, realm, serializer) as other:
        names = {**await what_they_begin_with(session, other), "SubscribeOptions": SubscribeOptions}
        for example in examples:
            code = compile(example, "README", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(code, names)
            if running is not None:
                await running


async def what_they_begin_with(session, other):
    """Devices that have published, and the subscription by which their past is asked for."""
    published = []
    for n in range(3):
        for device in ("lamp", "door"):
            options = PublishOptions(acknowledge=True)
            topic = "com.example.device." + device
            published.append((await other.publish(topic, n, options=options)).id)
    return {
        "session": session,
        "devices": await session.call("wamp.subscription.lookup", "com.example.",
                                      {"match": "prefix"}),
        "publication": published[0],
        "on_device": lambda *args, **kwargs: None,
    }


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

#!/usr/bin/env python3
"""Stays until the node says good-bye, and prints how it said it: URL REALM SERIALIZER."""
import asyncio
import json
import sys

from joined import SECONDS, joined


async def main(url, realm, serializer):
    async with joined(url, realm, serializer) as session:
        left = asyncio.get_running_loop().create_future()
        session.on("leave", lambda _, details: left.set_result(details.reason))
        print(json.dumps({"joined": session.details.session}), flush=True)
        print(json.dumps({"goodbye": await asyncio.wait_for(left, SECONDS)}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

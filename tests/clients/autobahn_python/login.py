#!/usr/bin/env python3
"""Who gets in, and how those who do not are answered: URL REALM SERIALIZER.

The node knows the accounts of tests/foreign_clients.rs.
"""
import asyncio
import sys

from joined import joined, refused

TICKET = {"ticket": {"authid": "joe", "ticket": "secret!!!"}}
CRA = {"wampcra": {"authid": "peter", "secret": "secret1"}}
# Autobahn derives the key from the password with the salt of the challenge.
SALTED = {"wampcra": {"authid": "salty", "secret": "secret2"}}
ROTATED = {"ticket": {"authid": "joe", "ticket": "next-secret"}}


async def main(url, realm, serializer, router=None):
    async def comes_in(authentication, authmethod, authid):
        async with joined(url, realm, serializer, authentication) as session:
            details = session.details
            assert details.authmethod == authmethod, details
            assert authid is None or details.authid == authid, details
            role = "anonymous" if authid is None else "user"
            assert (details.authrole, details.realm) == (role, realm), details
            assert await session.call("wamp.session.count") >= 1

    async def stays_out(authentication, into=realm, error="wamp.error.not_authorized"):
        refusal = await refused(error, in_and_out(url, into, serializer, authentication))
        return str(refusal.args)

    await comes_in(None, "anonymous", None)
    await comes_in({"anonymous": {}}, "anonymous", None)
    await comes_in(TICKET, "ticket", "joe")
    await comes_in(CRA, "wampcra", "peter")
    await comes_in(SALTED, "wampcra", "salty")
    await stays_out(None, into="no.such.realm", error="wamp.error.no_such_realm")
    answers = [
        [await stays_out({"ticket": {"authid": authid, "ticket": "wrong"}})
         for authid in ("joe", "nobody")],
        [await stays_out({"wampcra": {"authid": authid, "secret": "wrong"}})
         for authid in ("peter", "salty", "nobody")],
    ]
    if router == "crossbar":  # it tells who exists, and knows one secret an account
        return
    for same in answers:
        assert len(set(same)) == 1, f"the answers tell who exists: {same}"
    await comes_in(ROTATED, "ticket", "joe")


async def in_and_out(url, realm, serializer, authentication):
    async with joined(url, realm, serializer, authentication) as session:
        return session.details


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

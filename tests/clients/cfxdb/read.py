#!/usr/bin/env python3
"""Reads a store of type cfxdb as its users do, with zlmdb and cfxdb, while a node writes to it.

    read.py once   PATH           all rows: one JSON line
    read.py count  PATH SECONDS   counts rows again and again
    read.py reopen PATH SECONDS   opens and closes the store again and again
    read.py decode PATH SECONDS   decodes all rows again and again, and looks events' publications up
    read.py hold   PATH           begins to read, says so, and never ends
"""
import itertools
import json
import random
import struct
import sys
import time

import numpy as np
import zlmdb
from cfxdb.realmstore import RealmStore


def opened(path):
    return zlmdb.Database(path, maxsize=2**30, readonly=True)


def attached(db):
    schema = RealmStore.attach(db)

    # zlmdb 26.10.1 reads keys of Events by a format that `struct` does not have.
    def key(data):
        data = bytes(data)
        return struct.unpack(">Q", data[:8])[0], np.datetime64(struct.unpack("<q", data[8:])[0], "ns")

    schema.events._deserialize_key = key
    return schema


def once(path):
    with opened(path) as db:
        schema = attached(db)
        with db.begin() as txn:
            publications = list(schema.publications.select(txn, return_keys=False))
            publications.sort(key=lambda row: (row.timestamp, row.publication))
            events = list(schema.events.select(txn, return_keys=False))
            sessions = list(schema.sessions.select(txn, return_keys=False))
            index = list(schema.idx_sessions_by_session_id.select(txn))
            print(json.dumps({
                "publications": [
                    {"publication": row.publication, "publisher": row.publisher,
                     "topic": row.topic, "args": row.args, "kwargs": row.kwargs,
                     "exclude_authid": row.exclude_authid}
                    for row in publications
                ],
                "events": [
                    {"subscription": row.subscription, "publication": row.publication,
                     "receiver": row.receiver}
                    for row in events
                ],
                "sessions": [
                    {"oid": str(row.oid), "session": row.session, "realm": row.realm,
                     "authid": row.authid, "authrole": row.authrole,
                     "joined": int(row.joined_at.astype("int64")),
                     "left": int(row.left_at.astype("int64")), "transport": row.transport}
                    for row in sessions
                ],
                "index": [[int(key[0]), str(oid)] for key, oid in index],
            }), flush=True)


def count(path, seconds):
    rounds = 0
    with opened(path) as db:
        schema = attached(db)
        while time.monotonic() < seconds:
            with db.begin() as txn:
                assert schema.events.count(txn) == schema.publications.count(txn)
            rounds += 1
    return {"rounds": rounds}


def reopen(path, seconds):
    rounds = 0
    while time.monotonic() < seconds:
        with opened(path) as db:
            schema = attached(db)
            with db.begin() as txn:
                schema.publications.count(txn)
        rounds += 1
    return {"rounds": rounds}


def decode(path, seconds):
    rounds, decoded, passes, behind = 0, 0, 0, 0
    with opened(path) as db:
        schema = attached(db)
        while time.monotonic() < seconds:
            with db.begin() as txn:
                # Short transactions: what one of them sees is not used again as long as it lasts.
                rows = schema.events.select(txn, return_keys=False)
                for event in itertools.islice(rows, random.randrange(200)):
                    publication = schema.publications[txn, event.publication]
                    assert publication.topic.startswith("com."), publication.topic
                    assert set(publication.args[1]) == {"x"}
            with db.begin() as txn:
                # The whole table piece by piece, each from where the last one ended.
                rows = schema.publications.select(txn, from_key=behind, return_keys=False)
                piece = list(itertools.islice(rows, 300))
                for row in piece:
                    assert row.marshal()["publication"] == row.publication >= behind
                    assert set(row.args[1]) == {"x"} and row.kwargs is None, row.args
            decoded += len(piece)
            passes += len(piece) < 300
            behind = piece[-1].publication + 1 if len(piece) == 300 else 0
            rounds += 1
    return {"rounds": rounds, "decoded": decoded, "passes": passes}


def hold(path):
    with opened(path) as db:
        schema = attached(db)
        with db.begin() as txn:
            print(json.dumps({"holding": schema.publications.count(txn)}), flush=True)
            while True:
                time.sleep(1)


def main(mode, path, seconds="0"):
    if mode == "once":
        once(path)
    elif mode == "hold":
        hold(path)
    else:
        loop = {"count": count, "reopen": reopen, "decode": decode}[mode]
        print(json.dumps(loop(path, time.monotonic() + float(seconds))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

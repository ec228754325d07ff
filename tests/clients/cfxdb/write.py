#!/usr/bin/env python3
"""Makes a store of type cfxdb as Crossbar leaves it, with zlmdb and cfxdb.

    write.py PATH VERSION REALM ROWS

VERSION is that of LMDB's format: 0.9 or 1.0. Some arguments have pages of their own.
"""
import os
import sys
import uuid

import numpy as np
import zlmdb
from cfxdb.realmstore import Event, Publication, RealmStore, Session


def main(path, version, realm, rows):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with zlmdb.Database(path, maxsize=2**28, readonly=False, lib_version=version) as db:
        schema = RealmStore.attach(db)
        with db.begin(write=True) as txn:
            session = Session()
            session.oid = uuid.uuid4()
            session.session = 77
            session.joined_at = np.datetime64(1_700_000_000_000_000_000, "ns")
            session.realm = realm
            session.authid = "joe"
            session.authrole = "user"
            schema.sessions[txn, session.oid] = session
        for number in range(1, int(rows) + 1):
            with db.begin(write=True) as txn:
                publication = Publication()
                publication.timestamp = 1_700_000_001_000_000_000 + number
                publication.publication = (number * 7_919) % 2**53
                publication.publisher = 77
                publication.topic = "com.a" if number % 2 else "com.b"
                publication.args = [number, "x" * (number * 53 % 9_000)]
                publication.kwargs = {"number": number}
                schema.publications[txn, publication.publication] = publication
                event = Event()
                event.timestamp = publication.timestamp
                event.subscription = 4_242
                event.publication = publication.publication
                event.receiver = 78
                key = (event.subscription, np.datetime64(event.timestamp, "ns"))
                schema.events[txn, key] = event
        assert db.lib_version.startswith(version), db.lib_version


if __name__ == "__main__":
    main(*sys.argv[1:])

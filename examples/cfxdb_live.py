#!/usr/bin/env python3
"""Follows a store of type cfxdb from Python while a node writes to it: one line an event.

    pip install zlmdb cfxdb
    cfxdb_live.py PATH [--events N] [--prefix com.]

Ends after N events, or when it is interrupted. PATH is the store's folder.
"""
import argparse
import json
import time

import zlmdb
from cfxdb.realmstore import RealmStore

parser = argparse.ArgumentParser()
parser.add_argument("path")
parser.add_argument("--events", type=int)
parser.add_argument("--prefix", default="")
options = parser.parse_args()

shown = set()  # publication IDs; keep those of the last hours only where there are very many
count = 0

with zlmdb.Database(options.path, maxsize=2**37, readonly=True) as db:
    schema = RealmStore.attach(db)
    while options.events is None or count < options.events:
        # Short transactions: while one lasts, the node cannot use again what it has dropped.
        with db.begin() as txn:
            publications = [
                publication
                for publication in schema.publications.select(txn, return_keys=False)
                if publication.publication not in shown
                and publication.topic.startswith(options.prefix)
            ]
        # Rows are sorted by their IDs, which are random: the time says the order.
        publications.sort(key=lambda row: row.timestamp)
        left = None if options.events is None else options.events - count
        for publication in publications[:left]:
            shown.add(publication.publication)
            count += 1
            print(json.dumps({
                "publication": publication.publication,
                "time": str(publication.timestamp),
                "topic": publication.topic,
                "args": publication.args,
                "kwargs": publication.kwargs,
            }, default=str), flush=True)
        time.sleep(0.1)

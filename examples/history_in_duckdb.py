#!/usr/bin/env python3
"""What happened, in SQL: events by topic, over time, with their arguments.

    rewamp history export events.parquet
    python history_in_duckdb.py events.parquet
"""
import json
import sys

import duckdb


def main():
    events = duckdb.read_parquet(sys.argv[1])
    print(duckdb.sql("SELECT sequence, time, topic, args FROM events ORDER BY sequence DESC LIMIT 5"))

    by_topic = duckdb.sql("SELECT topic, count(*) FROM events GROUP BY topic ORDER BY topic").fetchall()
    [(seconds, args)] = duckdb.sql("""
        SELECT epoch(max(time) - min(time)), arg_min(args, sequence) FROM events
    """).fetchall()
    print(json.dumps({
        "events": dict(by_topic),
        "first_args": json.loads(args),
        "seconds": seconds,
    }))


if __name__ == "__main__":
    main()

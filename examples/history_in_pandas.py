#!/usr/bin/env python3
"""What happened, in pandas: events by topic, over time, with their arguments.

    rewamp history export events.parquet
    python history_in_pandas.py events.parquet
"""
import json
import sys

import pandas as pd


def main():
    events = pd.read_parquet(sys.argv[1])
    print(events[["sequence", "time", "topic", "args"]].tail(5).to_string(index=False))

    by_topic = events.groupby("topic").size().sort_index()
    span = events["time"].max() - events["time"].min()
    oldest = events.sort_values("sequence").iloc[0]
    print(json.dumps({
        "events": {topic: int(count) for topic, count in by_topic.items()},
        "first_args": json.loads(oldest["args"]),
        "seconds": span.total_seconds(),
    }))


if __name__ == "__main__":
    main()

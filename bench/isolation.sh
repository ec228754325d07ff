#!/usr/bin/env bash
# Does a realm that is paged for 1,000-event pages move another realm's latency?
# Five pairs of runs at 1,000 events a second in `realm2`, without and with a client that asks
# `realm1` for pages as fast as it gets them. Prints Markdown. Needs a release build.
set -euo pipefail
cd "$(dirname "$0")/.."
rewamp=${REWAMP:-target/release/rewamp}
bench=${BENCH:-target/release/rewamp-bench}
port=${PORT:-18260}
work=$(mktemp -d)
trap 'kill "$node" 2>/dev/null || true; rm -rf "$work"' EXIT

realm() { # name, store
  printf '{"name":"%s","roles":[{"name":"anonymous","permissions":[{"uri":"","match":"prefix","allow":{"call":true,"register":true,"publish":true,"subscribe":true}}]}]%s}' "$1" "$2"
}
store=',"store":{"type":"sled","path":"history","maxsize":1073741824,"event-history":[{"uri":"com.","match":"prefix"}]}'
cat > "$work/config.json" <<JSON
{"realms":[$(realm realm1 "$store"),$(realm realm2 "")],
 "transports":[{"type":"rawsocket","endpoint":{"type":"tcp","interface":"127.0.0.1","port":$port}}]}
JSON
"$rewamp" start --config "$work/config.json" > "$work/log" 2>&1 &
node=$!
url=tcp://127.0.0.1:$port
load() { "$bench" load --transport raw --serializer msgpack --url "$url" "$@"; }
for _ in $(seq 100); do
  load --mode joins --realm realm2 --seconds 0.1 --warmup 0 > "$work/ready" 2>&1 && break
done
load --mode acked-durable --realm realm1 > "$work/filled"

latency() {
  load --mode latency --realm realm2 --seconds 2 |
    python3 -c 'import json, sys; r = json.load(sys.stdin); print(r["p50_us"], r["p99_us"])'
}
for _ in 1 2 3 4 5; do
  echo "alone $(latency)"
  load --mode pages --limit 1000 --realm realm1 --seconds 4 --warmup 0 > "$work/pages" &
  pages=$!
  echo "paged $(latency)"
  wait "$pages"
  echo "pages $(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["rate"])' "$work/pages")"
done | python3 -c '
import statistics, sys
rows = {}
for line in sys.stdin:
    kind, *values = line.split()
    rows.setdefault(kind, []).append([float(value) for value in values])
median = lambda kind, at: statistics.median(row[at] for row in rows[kind])
print("| `realm2`, 1,000 events a second | p50 us | p99 us |\n|---|---|---|")
print("| alone | %.0f | %.0f |" % (median("alone", 0), median("alone", 1)))
print("| while `realm1` answers %.0f pages of 1,000 a second | %.0f | %.0f |"
      % (median("pages", 0), median("paged", 0), median("paged", 1)))'

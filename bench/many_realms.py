#!/usr/bin/env python3
"""What a node with many realms costs, each with a sled store of its own.

Starts the binary REALMS times over, publishes to every realm, keeps some busy, reads every history,
stops, starts again, and prints a table in Markdown. Standard library only.

    python3 bench/many_realms.py [--realms 2000] [--rewamp target/release/rewamp] [--node '{"open_stores": 64}']
"""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ALLOW = {"call": True, "register": True, "publish": True, "subscribe": True}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Client:
    """RawSocket and JSON, one request at a time."""

    def __init__(self, port, realm):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(bytes([0x7F, 0xF1, 0, 0]))
        self.exactly(4)
        self.request = 0
        roles = {"publisher": {}, "subscriber": {}, "caller": {}}
        self.send([1, realm, {"roles": roles}])
        assert self.receive()[0] == 2

    def exactly(self, count):
        found = b""
        while len(found) < count:
            more = self.socket.recv(count - len(found))
            assert more, "the node closed the connection"
            found += more
        return found

    def send(self, message):
        text = json.dumps(message).encode()
        self.socket.sendall(len(text).to_bytes(4, "big") + text)

    def receive(self):
        length = int.from_bytes(self.exactly(4), "big")
        return json.loads(self.exactly(length))

    def publish(self, topic, args):
        self.request += 1
        self.send([16, self.request, {"acknowledge": True}, topic, args])
        answer = self.receive()
        assert answer[0] == 17, answer
        return answer[2]

    def call(self, uri, args):
        self.request += 1
        self.send([48, self.request, {}, uri, args])
        answer = self.receive()
        assert answer[0] == 50, answer
        return answer[3][0]

    def close(self):
        self.socket.close()


class Node:
    def __init__(self, binary, folder, realms, node, store):
        self.port, self.admin = free_port(), free_port()
        self.binary, self.folder = binary, folder
        endpoint = lambda port: {"type": "tcp", "interface": "127.0.0.1", "port": port}
        realm = lambda number: {
            "name": f"realm{number}",
            "roles": [{"name": "anonymous", "permissions": [{"uri": "", "match": "prefix", "allow": ALLOW}]}],
            **({} if store is None else {"store": {
                "type": "sled", "path": f"history/{number}",
                "event-history": [{"uri": "com.", "match": "prefix"}], **store}}),
        }
        config = {
            "realms": [realm(number) for number in range(realms)],
            "transports": [{"type": "rawsocket", "endpoint": endpoint(self.port)}],
            "rewamp": {"admin": endpoint(self.admin), "loglevel": "warn", **node},
        }
        Path(folder, "config.json").write_text(json.dumps(config))

    def start(self):
        began = time.monotonic()
        with open(Path(self.folder, "log"), "ab") as log:
            command = [self.binary, "start", "--config", str(Path(self.folder, "config.json"))]
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        while True:
            assert self.process.poll() is None, Path(self.folder, "log").read_text()[-2000:]
            try:
                if urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/health/ready", timeout=60).status == 200:
                    return time.monotonic() - began
            except OSError:
                time.sleep(0.005)

    def end(self, how):
        began = time.monotonic()
        self.process.send_signal(how)
        code = self.process.wait()
        assert how == signal.SIGKILL or code == 0, Path(self.folder, "log").read_text()[-2000:]
        return time.monotonic() - began

    def metric(self, name):
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=60).read().decode()
        return sum(float(value) for value in re.findall(rf"^rewamp_{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))

    def size(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        number = lambda key: int(re.search(rf"^{key}:\s+(\d+)", status, re.M)[1])
        return {
            "rss": number("VmRSS") / 1024,
            "fds": len(os.listdir(f"/proc/{self.process.pid}/fd")),
            "threads": number("Threads"),
        }


class Watch(threading.Thread):
    """The most of everything while something goes on."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.most, self.over = node, node.size(), threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.02):
            for key, value in self.node.size().items():
                self.most[key] = max(self.most[key], value)

    def end(self):
        self.over.set()
        self.join()
        return self.most


def row(what, seconds, size, more=""):
    time_text = f"{seconds:.2f} s" if seconds is not None else ""
    print(f"| {what} | {time_text} | {size['rss']:.0f} MiB | {size['fds']} | {size['threads']} | {more} |", flush=True)


def publish_to_all(node, realms, at_once, count=1):
    """Publishes to every realm from `at_once` threads; the slowest acknowledgement in ms."""
    slowest, numbers, lock = [], iter(range(realms)), threading.Lock()

    def work():
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            client = Client(node.port, f"realm{number}")
            for nth in range(count):
                began = time.monotonic()
                client.publish("com.topic", [number, nth])
                slowest.append((time.monotonic() - began) * 1000)
            client.close()

    began = time.monotonic()
    threads = [threading.Thread(target=work) for _ in range(at_once)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    slowest.sort()
    middle, worst = slowest[len(slowest) // 2], slowest[-1]
    return time.monotonic() - began, f"acknowledged after {middle:.0f} ms (median), {worst:.0f} ms (worst)"


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--realms", type=int, default=2000)
    options.add_argument("--rewamp", default="target/release/rewamp")
    options.add_argument("--node", type=json.loads, default={})
    options.add_argument("--store", type=json.loads, default={})
    options.add_argument("--only-start", action="store_true")
    options = options.parse_args()
    binary = os.path.abspath(options.rewamp)
    print("| | time | RSS | descriptors | threads | |\n|---|---|---|---|---|---|")
    for realms, store in [(0, None), (options.realms, None)]:
        with tempfile.TemporaryDirectory() as folder:
            bare = Node(binary, folder, max(realms, 1), options.node, store)
            seconds = bare.start()
            row(f"started, {realms or 1} realms without a history", seconds, bare.size())
            bare.end(signal.SIGTERM)
    with tempfile.TemporaryDirectory() as folder:
        node = Node(binary, folder, options.realms, options.node, options.store)
        seconds = node.start()
        row(f"first start, {options.realms} new stores", seconds, node.size())
        if not options.only_start:
            busy(node, options.realms)
        seconds = node.end(signal.SIGTERM)
        print(f"| clean stop | {seconds:.2f} s | | | | |")
        seconds = node.start()
        row("start after a clean stop", seconds, node.size())
        if not options.only_start:
            everything(node, options.realms, "every history read")
            publish_to_all(node, options.realms, 8)
        node.end(signal.SIGKILL)
        seconds = node.start()
        row("start after SIGKILL", seconds, node.size())
        if not options.only_start:
            everything(node, options.realms, "every history read")
        node.end(signal.SIGTERM)


def busy(node, realms):
    watch = Watch(node)
    seconds, told = publish_to_all(node, realms, 8, 3)
    row("3 publications to every realm, 8 realms at a time", seconds, watch.end(), told)
    watch = Watch(node)
    seconds, told = publish_to_all(node, min(realms, 10), 10, 300)
    row("10 busy realms, 300 publications each", seconds, watch.end(), told)
    everything(node, realms, "every history read")


def everything(node, realms, what):
    watch, began, times = Watch(node), time.monotonic(), []
    for number in range(realms):
        client = Client(node.port, f"realm{number}")
        subscription = client.call("wamp.subscription.lookup", ["com.topic"])
        asked = time.monotonic()
        found = client.call("wamp.subscription.get_events", [subscription])
        times.append((time.monotonic() - asked) * 1000)
        assert len(found) >= 3, (number, found)
        client.close()
    times.sort()
    seconds = time.monotonic() - began
    row(what, seconds, watch.end(), f"answered after {times[len(times) // 2]:.1f} ms (median), {times[-1]:.0f} ms (worst)")


if __name__ == "__main__":
    main()

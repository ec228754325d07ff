#!/usr/bin/env python3
"""Installs the foreign clients at the versions beside this file, once, below target/foreign.

    python3 tests/clients/install.py [crossbar]

Prints the Python interpreters (with the WAMP clients; with what reads tables) and the folder of
node_modules as one JSON line; with `crossbar`, the interpreter that Crossbar and its store are
installed for. Called by tests/harness/foreign.rs and by hand; as many at a time as like: a file lock lets one install.
"""
import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent / "target" / "foreign"


def main():
    ROOT.mkdir(parents=True, exist_ok=True)
    with open(ROOT / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if sys.argv[1:] == ["crossbar"]:
            once(ROOT / "crossbar", [HERE / "requirements-crossbar.txt"], install_crossbar)
            print(json.dumps({"python": str(ROOT / "crossbar" / "bin" / "python")}))
            return
        once(ROOT / "python", [HERE / "requirements.txt"], install_python)
        once(ROOT / "tables", [HERE / "requirements-tables.txt"], install_tables)
        once(ROOT / "node", [HERE / "package.json", HERE / "package-lock.json"], install_node)
    print(json.dumps({
        "python": str(ROOT / "python" / "bin" / "python"),
        "tables": str(ROOT / "tables" / "bin" / "python"),
        "node_modules": str(ROOT / "node" / "node_modules"),
    }))


def once(folder, pins, install):
    """Installs into `folder` unless its stamp says that exactly these pins are there."""
    wanted = hashlib.sha256(b"".join(pin.read_bytes() for pin in pins)).hexdigest()
    stamp = folder / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    install(folder)
    stamp.write_text(wanted)


def install_python(folder):
    install_pins(folder, "requirements.txt")


def install_tables(folder):
    install_pins(folder, "requirements-tables.txt")


def install_crossbar(folder):
    install_pins(folder, "requirements-crossbar.txt")


def install_pins(folder, pins):
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-input",
        "--disable-pip-version-check", "--requirement", HERE / pins)


def install_node(folder):
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    # `install` and not `ci`: the lock holds versions and hashes, but not the compiled parts that
    # are optional and of other platforms. No install scripts either: those parts want a compiler.
    run("npm", "install", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)


def run(*command, cwd=None):
    command = [str(part) for part in command]
    try:
        subprocess.run(command, cwd=cwd, check=True, stdout=sys.stderr)
    except FileNotFoundError:
        sys.exit(f"`{command[0]}` is not on this machine; the tests with foreign clients need it")
    except subprocess.CalledProcessError as failed:
        sys.exit(f"`{' '.join(command)}` ended with {failed.returncode}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Long runs: an orchestrator's server on loopback, and one client after the other, until time is
up. Looks for stalls, wrong bytes, and growth of the server's memory, descriptors or threads.

    python3 bench/soak.py [--build build] [--minutes 30] [--engines 4] [--json FILE]

Not a part of the tests: `cmake --build build --target soak`. The exit status is 0 if all is well.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

WARM_CYCLES = 2  # Until allocators and tables have their size.
GROWTH_KIB = 16 << 10  # Of resident memory, that is let pass.
CLIENT_LIMIT_S = 300  # A client that takes longer has stalled.
PORT = 21300


def state_of(pid):
    """Resident KiB, threads and descriptors of a process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    return {"rss_kib": int(fields["VmRSS"].split()[0]), "threads": int(fields["Threads"]),
            "descriptors": len(os.listdir(f"/proc/{pid}/fd"))}


def settled(pid, warm):
    """The state once the last client's channels are gone; at most five seconds later."""
    end = time.monotonic() + 5
    while True:
        state = state_of(pid)
        alike = warm is None or (state["threads"] <= warm["threads"] and
                                 state["descriptors"] <= warm["descriptors"])
        if (alike and warm is not None) or time.monotonic() > end:
            return state
        time.sleep(0.1)


def run_client(sluice, options, folder, log):
    path = os.path.join(folder, "rows.json")
    subprocess.run([sluice, "orchestrate", "client", "127.0.0.1", "--port", str(PORT),
                    "--engines", str(options.engines), "--channels", options.channels,
                    "--size", options.size, "--phase-ms", str(options.phase_ms),
                    "--verify", "first", "--json", path],
                   check=True, stdout=subprocess.DEVNULL, stderr=log, timeout=CLIENT_LIMIT_S)
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)["results"]
    return {row["size_bytes"]: round(row["gbytes_per_s"], 3) for row in rows
            if row["engine"] == "all"}


def soak(sluice, server, options, folder, log):
    """Cycles of {"at_s", "gbytes_per_s", ...state}; stops at the first client that fails."""
    start = time.monotonic()
    cycles, warm = [], None
    while time.monotonic() < start + 60 * options.minutes or len(cycles) <= WARM_CYCLES:
        rates = run_client(sluice, options, folder, log)
        state = settled(server.pid, warm)
        if len(cycles) + 1 == WARM_CYCLES:
            warm = state
        cycles.append({"at_s": round(time.monotonic() - start), "gbytes_per_s": rates, **state})
        print(json.dumps(cycles[-1]), flush=True)
    return cycles


def complaints(cycles, log_text):
    warm, last = cycles[WARM_CYCLES - 1], cycles[-1]
    if last["rss_kib"] > warm["rss_kib"] + GROWTH_KIB:
        yield f"memory grew from {warm['rss_kib']} to {last['rss_kib']} KiB"
    for name in ("threads", "descriptors"):
        if last[name] > warm[name]:
            yield f"{name} grew from {warm[name]} to {last[name]}"
    for line in log_text.splitlines():
        if " stall" in line or " warning" in line.lower() or " error" in line.lower():
            yield "said: " + line


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--engines", type=int, default=4)
    parser.add_argument("--channels", default="1,2")
    parser.add_argument("--size", default="8,64K,16M")
    parser.add_argument("--phase-ms", type=int, default=1500)
    parser.add_argument("--json")
    options = parser.parse_args()
    sluice = os.path.join(options.build, "bin", "sluice")
    if not os.access(sluice, os.X_OK):
        sys.exit(f"{sluice} is missing: build first (make build)")

    with tempfile.TemporaryDirectory() as folder, \
            open(os.path.join(folder, "log"), "w+", encoding="utf-8") as log:
        environment = {**os.environ, "SLUICE_TOKEN": "soak", "SLUICE_RECORDER_DIR": ""}
        os.environ.update(environment)
        server = subprocess.Popen([sluice, "orchestrate", "server", "--listen-host", "127.0.0.1",
                                   "--port", str(PORT), "--engines", str(options.engines)],
                                  stdout=subprocess.PIPE, stderr=log)
        try:
            server.stdout.readline()  # It listens.
            threading.Thread(target=server.stdout.read, daemon=True).start()
            cycles = soak(sluice, server, options, folder, log)
        except (subprocess.SubprocessError, OSError) as error:
            log.seek(0)
            sys.exit(f"a client failed: {error}\n{log.read()}")
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=30)
        log.seek(0)
        found = list(complaints(cycles, log.read()))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"options": vars(options), "cycles": cycles}, file, indent=1)
    for line in found:
        print(line)
    print(f"{len(cycles)} clients in {cycles[-1]['at_s']} s: {'not well' if found else 'all well'}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()

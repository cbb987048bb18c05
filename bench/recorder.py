#!/usr/bin/env python3
"""What the flight recorder costs: `sluice perf local` with it and without, interleaved.

    python3 bench/recorder.py [--build build] [--rounds 15] [--phase-ms 700] [--json FILE]

Medians of 64 MiB bandwidth and its CPU and of the 8-byte latency's median are compared, and so are
two sides that are both off: how far those differ is what the machine cannot tell apart. The exit
status is 0 when everything could be measured, whether or not the bar was reached.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

RUN_LIMIT_S = 120
BAR = 0.01
SIDES = {"on": "16384", "off": "0", "off again": "0"}  # recorder_events


def measure(sluice, events, phase_ms):
    """(GB/s and CPU-s/GB of 64 MiB, us of 8 bytes)"""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.json")
        subprocess.run([sluice, "perf", "local", "--json", path, "--size", "8,64M",
                        "--phase-ms", str(phase_ms)],
                       check=True, stdout=subprocess.DEVNULL, timeout=RUN_LIMIT_S,
                       env={**os.environ, "SLUICE_RECORDER_EVENTS": events})
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    rows = {row["size_bytes"]: row for row in document["results"]}
    large = rows[64 << 20]
    return ([large["gbytes_per_s"], large["cpu_s_per_gb"], rows[8]["p50_us"]],
            document["machine"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--phase-ms", type=int, default=700)
    parser.add_argument("--json")
    options = parser.parse_args()
    sluice = os.path.join(options.build, "bin", "sluice")
    if not os.access(sluice, os.X_OK):
        sys.exit(f"{sluice} is missing: build first (make build)")

    names = list(SIDES)
    figures = {name: [] for name in names}
    for number in range(options.rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            row, machine = measure(sluice, SIDES[name], options.phase_ms)
            figures[name].append(row)

    medians = {name: [statistics.median(column) for column in zip(*rows)]
               for name, rows in figures.items()}
    for name, (rate, cpu, latency) in medians.items():
        print(f"{name:9}  64 MiB {rate:6.3f} GB/s {cpu:6.4f} CPU-s/GB   8 B {latency:6.3f} us")
    for name in ("on", "off again"):
        rate = medians[name][0] / medians["off"][0] - 1
        cpu = medians[name][1] / medians["off"][1] - 1
        latency = medians[name][2] / medians["off"][2] - 1
        reached = rate >= -BAR and latency <= BAR
        print(f"{name} to off: bandwidth {rate:+.2%}, CPU {cpu:+.2%}, "
              f"latency {latency:+.2%} "
              f"(bar: {BAR:.0%}, {'reached' if reached else 'not reached'})")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"options": vars(options), "machine": machine, "rounds": figures}, file,
                      indent=2)


if __name__ == "__main__":
    main()

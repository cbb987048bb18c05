#!/usr/bin/env python3
"""Compares the two designs for a node of several GPUs: `sluice orchestrate` (all engines in one
process) and `sluice perf multi` (a process each), on loopback, with engines of host memory.

    python3 bench/orchestrate.py [--build build] [--rounds 5] [--engines 4] [--json FILE] ...

Rounds are interleaved, in an order that rotates; medians are compared. The exit status is 0 when
everything could be measured, whether or not the bar was reached.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

RUN_LIMIT_S = 120
BAR = 0.05  # How far the orchestrator may be behind.

DESIGNS = {
    "perf multi": ["perf", "multi", "local"],
    "orchestrate": ["orchestrate", "local"],
    "perf multi, progress threads": ["perf", "multi", "local", "--progress-thread"],
    "orchestrate --threads own": ["orchestrate", "local", "--threads", "own"],
    "orchestrate --threads one": ["orchestrate", "local", "--threads", "one"],
}
PAIRS = [("orchestrate", "perf multi"),
         ("orchestrate --threads own", "perf multi, progress threads")]


def measure(sluice, design, options):
    """{size: (GB/s, CPU-s/GB)} of all engines together."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.json")
        subprocess.run([sluice, *DESIGNS[design], "--json", path, "--engines", str(options.engines),
                        "--channels", str(options.channels), "--size", options.size,
                        "--phase-ms", str(options.phase_ms)],
                       check=True, stdout=subprocess.DEVNULL, timeout=RUN_LIMIT_S)
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    return {row["size_bytes"]: (row["gbytes_per_s"], row["cpu_s_per_gb"])
            for row in document["results"] if row["engine"] == "all"}, document["machine"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", type=int, default=4)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--size", default="64K,1M,64M")
    parser.add_argument("--phase-ms", type=int, default=1000)
    parser.add_argument("--pairs", type=int, choices=(1, 2), default=2,
                        help="1: only the designs that use the fewest threads")
    parser.add_argument("--json")
    options = parser.parse_args()
    sluice = os.path.join(options.build, "bin", "sluice")
    if not os.access(sluice, os.X_OK):
        sys.exit(f"{sluice} is missing: build first (make build)")

    pairs = PAIRS[:options.pairs]
    names = [name for name in DESIGNS if options.pairs > 1 or name in pairs[0]]
    figures = {name: {} for name in names}
    for number in range(options.rounds):
        for name in names[number % len(names):] + names[:number % len(names)]:
            rows, machine = measure(sluice, name, options)
            for size, row in rows.items():
                figures[name].setdefault(size, []).append(row)

    medians = {name: {size: [statistics.median(column) for column in zip(*rows)]
                      for size, rows in sizes.items()} for name, sizes in figures.items()}
    for name in names:
        for size, (rate, cpu) in medians[name].items():
            print(f"{name:30} {size:>9} bytes  {rate:6.2f} GB/s  {cpu:6.3f} CPU-s/GB")
    for one, other in pairs:
        for size in medians[one]:
            rate = medians[one][size][0] / medians[other][size][0]
            cpu = medians[one][size][1] / medians[other][size][1]
            reached = rate >= 1 - BAR and cpu <= 1 + BAR
            print(f"{one} to {other}, {size} bytes: bandwidth {rate:.3f}, CPU per GB {cpu:.3f} "
                  f"(bar: within {BAR:.0%}, {'reached' if reached else 'not reached'})")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"options": vars(options), "machine": machine, "rounds": figures}, file,
                      indent=2)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What `sluice perf` moves from GPU 0 to GPU 1 beside NCCL's own socket transport.

    python3 bench/gpu_nccl_sockets.py PROGRAMS --out DIR [--limit-s N]

NCCL first tries every number of channels per peer, threads and sockets of GRID, each with messages
of its own size and, some of them, with larger ones. Then the best of each of both kinds, those of
ALWAYS, and those of SLUICE take turns. DIR/nccl-sockets.json has every figure; the last line
printed is JSON: medians in GB/s. Needs two GPUs, PyTorch, and PROGRAMS of bench/gpu.py.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

from gpu_nccl_plugin import KIB, MIB, Pair, count_gpus, tuned

ROUNDS = 5
LOT = 12  # Pairs that live at the same time.
KEPT = 2  # Of each kind, for the rounds.
SIZES = {64 * MIB: 32, 256 * MIB: 8}
# Channels, and chunk_bytes: with more than 8 channels larger chunks keep the copy engine busier.
SLUICE = {"sluice-8": (8, "512KiB"), "sluice-12": (12, "512KiB"), "sluice-12-1024K": (12, "1MiB"),
          "sluice-16-1024K": (16, "1MiB")}
SCANNED = {64 * MIB: 16}
GRID = [(channels, threads, sockets) for channels in (8, 4, 16, 2, 32, 1)
        for threads, sockets in ((1, 1), (2, 2), (4, 4), (8, 2), (8, 8), (16, 1))
        if channels * threads * sockets <= 512 and channels * threads <= 128]
LARGER = [(8, 4, 4, 512 * KIB), (8, 2, 2, MIB), (8, 4, 4, MIB), (16, 2, 1, MIB), (8, 4, 2, 2 * MIB),
          (4, 4, 4, 4 * MIB), (8, 4, 4, 4 * MIB), (8, 8, 2, 4 * MIB), (2, 8, 8, 8 * MIB),
          (4, 8, 8, 8 * MIB)]  # The last: bytes of a message.
# What NCCL takes by itself, and its best with the 4 MiB of buffers that it has by itself.
ALWAYS = ("default", "8ch-4x4-512K")


def ways():
    """Settings by name. NCCL cuts a message as it likes where the name ends with "own"."""
    found = {"default": {}}
    for channels, threads, sockets, size in LARGER:
        name = f"{channels}ch-{threads}x{sockets}-{size // KIB}K"
        found[name] = tuned(channels, threads, sockets, size, 8 * size)
    for channels, threads, sockets in GRID:
        settings = tuned(channels, threads, sockets)
        del settings["NCCL_P2P_NET_CHUNKSIZE"], settings["NCCL_BUFFSIZE"]
        found[f"{channels}ch-{threads}x{sockets}-own"] = settings
    return found


class Side:
    """Rates of everything, by name and size."""

    def __init__(self, programs, out):
        self.programs, self.out, self.rates = programs, out, {}

    def nccl(self, pair, sizes):
        for size, count in sizes.items():
            answers = pair.ask(do="send", size=size, count=count)
            if answers:
                rate = size * count / answers[1]["seconds"] / 1e9
                self.rates.setdefault(f"{pair.name} {size // MIB} MiB", []).append(rate)

    def sluice(self, name):
        channels, chunk = SLUICE[name]
        report = self.out / "perf.json"
        subprocess.run([self.programs / "sluice", "perf", "local", "--gpu", "0", "--server-gpu",
                        "1", "--channels", str(channels), "--set", f"chunk_bytes={chunk}",
                        "--phase-ms", "350", "--verify", "first",
                        "--size", ",".join(map(str, SIZES)), "--json", report],
                       check=True, stdout=subprocess.DEVNULL, timeout=60)
        for row in json.loads(report.read_text())["results"]:
            self.rates.setdefault(f"{name} {row['size_bytes'] // MIB} MiB", []).append(
                row["gbytes_per_s"])

    def median(self, name):
        return statistics.median(self.rates.get(f"{name} 64 MiB", [0]))


def start(names, settings, out):
    logs = out / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    pairs = [Pair(name, "Socket", settings[name], "", logs, 2) for name in names]
    for pair in pairs:
        pair.answer(60)
    return pairs


def end(pairs):
    for pair in pairs:
        pair.proof()  # For its failure.
        if pair.failure is not None:
            print(f"{pair.name}: {pair.failure}", flush=True)
        pair.fail("measured")


def scan(side, settings, out, until):
    """Every way once; the names of the best, of either kind."""
    names = list(settings)
    for first in range(0, len(names), LOT):
        if first > 0 and time.monotonic() > until:
            print("left out:", ", ".join(names[first:]), flush=True)
            break
        pairs = start(names[first:first + LOT], settings, out)
        for pair in pairs:
            side.nccl(pair, SCANNED)
        end(pairs)
    ranking = sorted(names, key=side.median, reverse=True)
    for name in ranking:
        print(f"  {name:20}{side.median(name):7.1f}", flush=True)
    ranking = [name for name in ranking if name not in ALWAYS]
    own = [name for name in ranking if name.endswith("-own")]
    larger = [name for name in ranking if not name.endswith("-own")]
    return [*own[:KEPT], *larger[:KEPT], *ALWAYS]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--limit-s", type=float, default=60,
                        help="for trying settings, but for the first ones")
    options = parser.parse_args()
    if count_gpus() < 2:
        parser.error("it needs two GPUs")
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    side = Side(options.programs.resolve(), out)
    settings = ways()
    best = scan(side, settings, out, time.monotonic() + options.limit_s)
    scanned, side.rates = side.rates, {}
    pairs = start(best, settings, out)
    for number in range(ROUNDS):
        for pair in pairs[number % len(pairs):] + pairs[:number % len(pairs)]:
            side.nccl(pair, SIZES)
        for name in SLUICE:
            side.sluice(name)
    end(pairs)
    (out / "nccl-sockets.json").write_text(json.dumps({"tried": scanned, "rounds": side.rates}))
    for name, rates in side.rates.items():
        print(f"{name:28}{statistics.median(rates):7.1f}  {min(rates):.1f} to {max(rates):.1f}")
    print(json.dumps({name: statistics.median(rates) for name, rates in side.rates.items()}))


if __name__ == "__main__":
    sys.exit(main())

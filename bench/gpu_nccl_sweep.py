#!/usr/bin/env python3
"""Which settings of NCCL and of the plugin give send and recv of 64 MiB the most, for NCCL's own
sockets and for libnccl-net-sluice.so, each beside what NCCL reaches with a net that takes no time
(bench/null_net.cc) and through shared memory.

    python3 bench/gpu_nccl_sweep.py --plugin FILE --null FILE --out DIR [--limit-s N] [--only A,B]

Works through WAYS in lots of as many pairs of processes as the memory of a machine has room for,
the most telling first, until the time is up. DIR/sweep.txt has the table, printed too: GB/s,
medians, and the busiest threads of both processes while it was measured, in cores.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import sys
import time

import gpu_nccl_plugin as nccl
from gpu_nccl_plugin import HOST_SENDS, KIB, MIB, UNPACK, tuned

LOT = 10
ROUNDS = 3
SIZES = {64 * MIB: 32, 256 * MIB: 8}


def ours(channels, count, chunk, **more):
    return "sluice", {**tuned(channels, count, 1, chunk, 8 * chunk), **more}


def socket(channels, threads, each, chunk):
    return "Socket", tuned(channels, threads, each, chunk, 8 * chunk)


def unpack(channels, count, chunk):
    return "sluice", {**UNPACK, **HOST_SENDS, **tuned(channels, count, 1, chunk, 8 * chunk)}


def null(channels, chunk):
    # LL and LL128 have their flags in the data, which never comes.
    return "null", {**tuned(channels, 1, 1, chunk, 8 * chunk), "NCCL_PROTO": "Simple"}


SHM = {"NCCL_SHM_DISABLE": "0", "NCCL_HOSTID": "one"}
SPIN = {"SLUICE_SPIN_US": 2000}
WAYS = {
    "socket 8ch 4x4 4M": socket(8, 4, 4, 4 * MIB),
    "socket 8ch 2x2 1M": socket(8, 2, 2, MIB),
    "host 8ch 2 1M": ours(8, 2, MIB),
    "host 8ch 2 1M spin": ours(8, 2, MIB, **SPIN),
    "host 8ch 3 1M spin": ours(8, 3, MIB, **SPIN),
    "null 8ch 512K": null(8, 512 * KIB),
    "null 8ch 1M": null(8, MIB),
    "null 8ch 4M": null(8, 4 * MIB),
    "unpack 8ch 2 1M": unpack(8, 2, MIB),
    "unpack 16ch 1 512K": unpack(16, 1, 512 * KIB),

    "socket 8ch 4x2 2M": socket(8, 4, 2, 2 * MIB),
    "socket 4ch 4x4 4M": socket(4, 4, 4, 4 * MIB),
    "host 8ch 2 512K": ours(8, 2, 512 * KIB),
    "host 8ch 2 2M": ours(8, 2, 2 * MIB),
    "host 4ch 4 2M spin": ours(4, 4, 2 * MIB, **SPIN),
    "host 2ch 6 2M": ours(2, 6, 2 * MIB),
    "host 16ch 1 1M": ours(16, 1, MIB),
    "shm 8ch": ("Socket", {**tuned(8, 1, 1), **SHM}),
    "unpack 4ch 4 2M": unpack(4, 4, 2 * MIB),
    "unpack 16ch 2 512K": unpack(16, 2, 512 * KIB),
}


class SweepPair(nccl.Pair):
    """Its answers count whatever the content: a net that moves nothing gives wrong ones."""

    def ask(self, limit_s=nccl.COMMAND_LIMIT_S, **command):
        try:
            for process in self.ranks:
                process.stdin.write(json.dumps(command) + "\n")
                process.stdin.flush()
        except OSError as error:
            return self.fail(str(error))
        answers = self.answer(limit_s)
        for answer in answers or ():
            if "wrong" in answer and self.net != "null":
                return self.fail(str(answer["wrong"]))
        return answers


def thread_seconds(process):
    """CPU time by thread: {(id, name): seconds}."""
    spent = {}
    for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir():
        try:
            text = (task / "stat").read_text()
        except OSError:
            continue
        name, rest = re.match(r"\d+ \((.*)\) (.*)", text, re.S).groups()
        fields = rest.split()
        spent[task.name, name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


def busiest(before, after, wall):
    """Cores, by the name of threads, of one process."""
    total = {}
    for (task, name), seconds in after.items():
        used = seconds - before.get((task, name), 0)
        if used > 0:
            count, cores = total.get(name, (0, 0))
            total[name] = count + 1, cores + used / wall
    rows = sorted(total.items(), key=lambda row: -row[1][1])[:6]
    return ", ".join(f"{name} {cores:.1f} of {count}" for name, (count, cores) in rows)


def measure(pair, size, count, rates, threads):
    before = [thread_seconds(process) for process in pair.ranks]
    start = time.monotonic()
    answers = pair.ask(do="send", size=size, count=count)
    if pair.failure is not None:
        return
    wall = time.monotonic() - start
    if answers:
        rates.setdefault((pair.name, size), []).append(
            size * count / answers[1]["seconds"] / 1e9)
        after = [thread_seconds(process) for process in pair.ranks]
        threads[pair.name] = [busiest(*both, wall) for both in zip(before, after)]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plugin", type=pathlib.Path, required=True)
    parser.add_argument("--null", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--limit-s", type=float, default=210)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    logs = out / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + arguments.limit_s
    names = [name for name in WAYS if not arguments.only or
             any(name.startswith(part) for part in arguments.only.split(","))]
    gpus = min(nccl.count_gpus(), 2)
    rates, threads, lines = {}, {}, []
    for first in range(0, len(names), LOT):
        if end - time.monotonic() < 40:
            lines.append(f"left out: {', '.join(names[first:])}")
            break
        pairs = []
        for name in names[first:first + LOT]:
            net, settings = WAYS[name]
            if net == "null":
                settings = {**settings, "NCCL_NET_PLUGIN": arguments.null.resolve()}
            pairs.append(SweepPair(name.replace(" ", "-"), net, settings,
                                   str(arguments.plugin.resolve()), logs, gpus))
        started_by = min(time.monotonic() + 60, end)
        for pair in pairs:
            pair.answer(max(1, started_by - time.monotonic()))
        for _ in range(ROUNDS):
            for size, count in SIZES.items():
                for pair in pairs:
                    if pair.failure is None and end - time.monotonic() > 5:
                        measure(pair, size, count, rates, threads)
        for pair in pairs:
            pair.check_channels()  # Not proof(): one way goes through shared memory.
            if pair.failure is not None:
                lines.append(f"{pair.name}: {pair.failure}")
            pair.fail("measured")  # Ends it.
            cells = [statistics.median(rates.get((pair.name, size), [0])) for size in SIZES]
            lines.append(f"{pair.name:28}" + "".join(f"{cell:8.1f}" for cell in cells) +
                         f"  {threads.get(pair.name)}")
            print(lines[-1], flush=True)
        (out / "sweep.txt").write_text("\n".join(lines) + "\n")
        (out / "sweep.json").write_text(json.dumps(
            {f"{name} {size >> 20} MiB": values for (name, size), values in rates.items()}))
    (out / "sweep.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())

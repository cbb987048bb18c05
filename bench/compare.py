#!/usr/bin/env python3
"""Measures sluice side by side with plain sockets and iperf3, on loopback, in one run.

Absolute figures of a shared machine say little; ratios of medians over interleaved rounds do. Each
round measures everything once, in an order that rotates, and each ratio is printed with the bar
that it has to reach.

    python3 bench/compare.py [--build build] [--rounds 5] [--json build/bench.json]

The exit status is 0 when everything could be measured, whether or not the bars were reached.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

LIMIT_S = 350  # For the whole run.
RUN_LIMIT_S = 60  # For one program.

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SIZES = {"64 KiB": 64 * KIB, "256 KiB": 256 * KIB, "1 MiB": MIB, "64 MiB": 64 * MIB}
RAW_BYTES = 3 * GIB
RAW_VARIANTS = [(connections, rcvbuf) for connections in (1, 2, 4) for rcvbuf in (0, 768 * KIB)]

SLUICE_BY_REFERENCE = "sluice by reference"  # With send_by_reference=1.

# How many times iperf3 -P1 a message size has to reach.
IPERF_BARS = [("64 MiB", 3.5), ("1 MiB", 3.0), ("256 KiB", 2.3), ("64 KiB", 1.3)]


class Failure(Exception):
    """One sentence for the user."""


class Children:
    """Every process that is started here, so that none survives."""

    def __init__(self):
        self._running = []

    def start(self, command, **options):
        child = subprocess.Popen(command, start_new_session=True, text=True, **options)
        self._running.append(child)
        return child

    def run(self, command, **options):
        """The standard output of `command`, which must succeed."""
        child = self.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        try:
            out, err = child.communicate(timeout=RUN_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise Failure(f"{' '.join(command)}: did not end within {RUN_LIMIT_S} s") from None
        finally:
            self.end(child)
        if child.returncode != 0:
            raise Failure(f"{' '.join(command)}: status {child.returncode}: {(err or out).strip()}")
        return out

    def end(self, child):
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()
        if child in self._running:
            self._running.remove(child)

    def end_all(self):
        for child in list(self._running):
            self.end(child)


class Programs:
    """What is compared. Each method measures once and returns {figure: value}."""

    def __init__(self, build, children, channels):
        self._children = children
        self._channels = channels
        self._sluice = self._find(build, "bin/sluice")
        self._raw = self._find(build, "bench/raw_socket", "bin/raw_socket")
        if shutil.which("iperf3") is None:
            raise Failure("iperf3 is not installed (Debian: iperf3)")
        self._iperf_port = None
        self.machine = {}
        self.settings = {}

    @staticmethod
    def _find(build, *places):
        for place in places:
            path = os.path.join(build, place)
            if os.access(path, os.X_OK):
                return path
        raise Failure(f"{os.path.join(build, places[0])} is missing: build first (make build)")

    def _perf_local(self, *options, environment=None):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "perf.json")
            self._children.run([self._sluice, "perf", "local", "--json", path, *options],
                               env={**os.environ, **(environment or {})})
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
        self.machine, self.settings = document["machine"], document["settings"]
        return {row["size_bytes"]: row for row in document["results"]}

    def sluice_bulk(self, by_reference=False):
        sizes = ",".join(str(size) for size in SIZES.values())
        rows = self._perf_local("--size", sizes, "--channels", str(self._channels),
                                "--phase-ms", "800",
                                environment={"SLUICE_SEND_BY_REFERENCE": str(int(by_reference))})
        program = SLUICE_BY_REFERENCE if by_reference else "sluice"
        figures = {}
        for name, size in SIZES.items():
            figures[f"{program} {name} GB/s"] = rows[size]["gbytes_per_s"]
            figures[f"{program} {name} CPU-s/GB"] = rows[size]["cpu_s_per_gb"]
        return figures

    def sluice_pingpong(self):
        return {"sluice 8 B round trip us": 2 * self._perf_local("--size", "8")[8]["p50_us"]}

    def sluice_pingpong_thread(self):
        rows = self._perf_local("--size", "8", "--progress-thread")
        return {"sluice 8 B round trip, progress thread us": 2 * rows[8]["p50_us"]}

    def raw_bulk(self, connections, rcvbuf):
        out = self._children.run([
            self._raw, "--connections", str(connections), "--bytes", str(RAW_BYTES),
            "--congestion", "reno", "--rcvbuf", str(rcvbuf), "--json"])
        result = json.loads(out)
        name = raw_name(connections, rcvbuf)
        return {f"{name} GB/s": result["gbytes_per_s"], f"{name} CPU-s/GB": result["cpu_s_per_gb"]}

    def raw_pingpong(self):
        out = self._children.run([self._raw, "--mode", "pingpong", "--size", "8", "--json"])
        return {"raw 8 B round trip us": json.loads(out)["p50_us"]}

    def start_iperf_server(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._iperf_port = str(probe.getsockname()[1])
        self._children.start(["iperf3", "-s", "-B", "127.0.0.1", "-p", self._iperf_port],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(self._iperf_port))) == 0:
                    return
            time.sleep(0.05)
        raise Failure("iperf3 -s does not answer")

    def iperf(self, name, *options):
        out = self._children.run(["iperf3", "-c", "127.0.0.1", "-p", self._iperf_port, "-J",
                                  "-t", "2", *options])
        end = json.loads(out)["end"]
        return {f"{name} GB/s": end["sum_received"]["bits_per_second"] / 8e9}


def raw_name(connections, rcvbuf):
    buffers = "768K" if rcvbuf else "automatic"
    return f"raw {connections} connections, {buffers} buffers"


def measure(programs, rounds):
    """{figure: [one value a round]}"""
    tasks = [programs.sluice_bulk, lambda: programs.sluice_bulk(by_reference=True),
             programs.sluice_pingpong, programs.raw_pingpong,
             programs.sluice_pingpong_thread,
             lambda: programs.iperf("iperf3 -P1", "-P1"),
             lambda: programs.iperf("iperf3 -P4 -l 1M", "-P4", "-l", "1M")]
    tasks += [lambda v=variant: programs.raw_bulk(*v) for variant in RAW_VARIANTS]
    programs.start_iperf_server()
    values = {}
    start = time.monotonic()
    for number in range(rounds):
        spent = time.monotonic() - start
        if number > 0 and spent / number * (number + 1) > LIMIT_S:
            raise Failure(f"{number} of {rounds} rounds took {spent:.0f} s: the machine is too "
                          f"busy to end within {LIMIT_S} s")
        shift = number * len(tasks) // rounds
        for task in tasks[shift:] + tasks[:shift]:
            for figure, value in task().items():
                values.setdefault(figure, []).append(value)
        print(f"round {number + 1} of {rounds} done", file=sys.stderr)
    return values


def make_ratios(medians):
    """[{name, value, bar, sense, reached}]"""
    best = max((raw_name(*variant) for variant in RAW_VARIANTS),
               key=lambda name: medians[f"{name} GB/s"])
    ratios = []

    def add(name, value, sense=None, bar=None):
        reached = None
        if bar is not None:
            reached = value >= bar if sense == "at least" else value <= bar
        ratios.append({"name": name, "value": value, "sense": sense, "bar": bar,
                       "reached": reached})

    large = medians["sluice 64 MiB GB/s"]
    add(f"64 MiB: sluice / {best} (the best raw)", large / medians[f"{best} GB/s"], "at least",
        0.95)
    add(f"64 MiB: {SLUICE_BY_REFERENCE} / the best raw",
        medians[f"{SLUICE_BY_REFERENCE} 64 MiB GB/s"] / medians[f"{best} GB/s"])
    for program in ("sluice", SLUICE_BY_REFERENCE):
        for size, bar in IPERF_BARS:
            add(f"{size}: {program} / iperf3 -P1",
                medians[f"{program} {size} GB/s"] / medians["iperf3 -P1 GB/s"], "at least", bar)
    add("64 MiB: sluice / iperf3 -P4 -l 1M", large / medians["iperf3 -P4 -l 1M GB/s"])
    add("64 MiB: CPU per GB, sluice / the best raw",
        medians["sluice 64 MiB CPU-s/GB"] / medians[f"{best} CPU-s/GB"], "at most", 1.1)
    raw_trip = medians["raw 8 B round trip us"]
    add("8 B: round trip p50, sluice / raw busy polling",
        medians["sluice 8 B round trip us"] / raw_trip, "at most", 1.5)
    add("8 B: the same through ProgressThread",
        medians["sluice 8 B round trip, progress thread us"] / raw_trip)
    return ratios


def print_report(values, medians, ratios, rounds):
    print(f"medians of {rounds} rounds, and the spread of each")
    width = max(len(name) for name in values)
    for name in values:
        print(f"  {name:<{width}}  {medians[name]:8.3f}   "
              f"{min(values[name]):.3f} to {max(values[name]):.3f}")
    print("\nratios of these medians")
    width = max(len(ratio["name"]) for ratio in ratios)
    for ratio in ratios:
        line = f"  {ratio['name']:<{width}}  {ratio['value']:6.2f}"
        if ratio["bar"] is not None:
            verdict = "reached" if ratio["reached"] else "NOT reached"
            line += f"   {ratio['sense']} {ratio['bar']}: {verdict}"
        print(line)


def parse_arguments():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(root, "build"), help="build folder")
    parser.add_argument("--rounds", type=int, default=5, help="5 to 50 (default 5)")
    parser.add_argument("--channels", type=int, default=2, help="of sluice (default 2)")
    parser.add_argument("--json", help="where to write everything (default BUILD/bench.json)")
    arguments = parser.parse_args()
    if not 5 <= arguments.rounds <= 50:
        parser.error(f"--rounds {arguments.rounds} is out of range, legal are 5 to 50")
    if not 1 <= arguments.channels <= 64:
        parser.error(f"--channels {arguments.channels} is out of range, legal are 1 to 64")
    arguments.json = arguments.json or os.path.join(arguments.build, "bench.json")
    return arguments


def main():
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    children = Children()
    try:
        programs = Programs(arguments.build, children, arguments.channels)
        values = measure(programs, arguments.rounds)
    except Failure as failure:
        print(f"compare.py: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        children.end_all()
    medians = {name: statistics.median(of) for name, of in values.items()}
    ratios = make_ratios(medians)
    print_report(values, medians, ratios, arguments.rounds)
    with open(arguments.json, "w", encoding="utf-8") as file:
        json.dump({"rounds": arguments.rounds, "ratios": ratios, "medians": medians,
                   "values": values, "machine": programs.machine, "settings": programs.settings},
                  file, indent=2)
        file.write("\n")
    print(f"\nresults: {arguments.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

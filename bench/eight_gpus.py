#!/usr/bin/env python3
"""GPU i to GPU i + n/2 (modulo n) for all n GPUs of this machine at once, over loopback TCP.

    bench/eight_gpus.sh --out DIR          # builds, then runs this
    python3 bench/eight_gpus.py --programs build/bin --host-engines 4 --out DIR   # without GPUs

Measured, interleaved, medians of the rounds: `sluice orchestrate` (a process a side) and `sluice
perf multi` (a process per GPU and side) with each number of channels; NCCL's sockets at several
settings, the best of which counts; the mesh of all GPUs. Content is checked. What every program
printed lies in DIR, the figures in DIR/summary.json and DIR/summary.txt, the mesh's heat map in
DIR/mesh.svg, or without gnuplot its commands in DIR/mesh.gnuplot.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time

from gpu_nccl_plugin import MIB, other_channels, tuned

HERE = pathlib.Path(__file__).resolve().parent
LIMIT_S = 450  # For everything; what does not fit is left out and named.
CHANNELS = (1, 2, 4, 8)
DESIGNS = {"orchestrator": ["orchestrate"], "multi-process": ["perf", "multi"]}
NCCL = {  # Channels a peer, threads and sockets a connection, chunk.
    "defaults": {},
    "8 channels, 4x4, 1 MiB": tuned(8, 4, 4, MIB, 8 * MIB),
    "8 channels, 2x2, 1 MiB": tuned(8, 2, 2, MIB, 8 * MIB),
    "8 channels, 4x4, 4 MiB": tuned(8, 4, 4, 4 * MIB, 32 * MIB),
    "2 channels, 8x8, 8 MiB": tuned(2, 8, 8, 8 * MIB, 64 * MIB),
}


class Run:
    def __init__(self, options):
        self.options = options
        self.sluice = options.programs.resolve() / "sluice"
        self.out = options.out.resolve()
        self.end = time.monotonic() + LIMIT_S
        self.failed, self.left_out, self.figures = [], [], {}
        self.nccl = {}

    def has_time(self, name, seconds):
        if time.monotonic() + seconds < self.end:
            return True
        self.left_out.append(name)
        return False

    def engines(self):
        """The options that give the client and the server their engines."""
        count = self.options.host_engines
        if count:
            return ["--engines", str(count)], ["--engines", str(count)]
        gpus = [str(gpu) for gpu in range(self.options.gpus)]
        half = len(gpus) // 2
        return ["--gpus", ",".join(gpus)], ["--gpus", ",".join(gpus[half:] + gpus[:half])]

    def pairs(self, design, channels, number):
        """One measurement of all pairs at once: its rows by engine, or None."""
        name = f"{design}_{channels}_channels_{number}"
        if not self.has_time(name, 20):
            return None
        client_engines, server_engines = self.engines()
        port = str(random.randrange(12000, 30000))
        rows = self.out / f"{name}.json"
        text = open(self.out / f"{name}.txt", "w", encoding="utf-8")
        server = subprocess.Popen(
            [self.sluice, *DESIGNS[design], "server", "--listen-host", "127.0.0.1", "--port", port,
             *server_engines], stdout=subprocess.PIPE, stderr=text, text=True)
        try:
            processes = self.options.host_engines or self.options.gpus
            for _ in range(1 if design == "orchestrator" else processes):  # Each says it is ready.
                if not server.stdout.readline():
                    raise OSError("the server did not start")
            subprocess.run([self.sluice, *DESIGNS[design], "client", "127.0.0.1", "--port", port,
                            *client_engines, "--channels", str(channels), "--size",
                            self.options.size, "--phase-ms", str(self.options.phase_ms), "--json",
                            rows], stdout=text, stderr=text, check=True, timeout=60)
            document = json.loads(rows.read_text())["results"]
            if not all(row["verified"] for row in document):
                raise OSError("content was not checked")
            return {row["engine"]: row for row in document}
        except (OSError, subprocess.SubprocessError) as error:
            self.failed.append(f"{name}: {error}")
            return None
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()
            text.close()

    def all_pairs(self, rounds):
        for number in rounds:
            for channels in CHANNELS:
                for design in list(DESIGNS)[::1 if number % 2 else -1]:
                    rows = self.pairs(design, channels, number)
                    if rows is not None:
                        self.figures.setdefault((design, channels), []).append(rows)

    def all_nccl(self):
        if self.options.host_engines or self.options.gpus < 2:
            self.left_out.append("NCCL: needs GPUs")
            return
        for name, settings in NCCL.items():
            if not self.has_time(f"NCCL, {name}", 60):
                continue
            try:
                self.nccl[name] = self.nccl_pairs(name, settings)
            except (OSError, subprocess.SubprocessError, ValueError) as error:
                self.failed.append(f"NCCL, {name}: {error}")

    def nccl_pairs(self, name, settings):
        """The figures of one way; ValueError where NCCL has other channels than were asked for."""
        stem = f"nccl_{name.replace(', ', '_').replace(' ', '_')}"
        for log in self.out.glob(f"{stem}.*.log"):
            log.unlink()  # Of an earlier run.
        logging = {"NCCL_DEBUG": "INFO", "NCCL_DEBUG_SUBSYS": "INIT",
                   "NCCL_DEBUG_FILE": self.out / f"{stem}.%p.log"}
        done = subprocess.run(
            [sys.executable, HERE / "gpu_nccl_pairs.py", "--size-mib",
             self.options.size.removesuffix("M")], capture_output=True, text=True, timeout=90,
            env={**os.environ, **{key: str(value) for key, value in (settings | logging).items()}})
        (self.out / f"{stem}.txt").write_text(done.stdout + done.stderr)
        if done.returncode != 0:
            raise OSError(f"it ended with {done.returncode}, see {stem}.txt")
        logs = "".join(log.read_text(errors="replace") for log in self.out.glob(f"{stem}.*.log"))
        if wrong := other_channels(settings, logs):
            raise ValueError(wrong)
        return json.loads(done.stdout.strip().split("\n")[-1])

    def mesh(self):
        """Every GPU as a host of its own: the GPUs of one host are not measured with each other."""
        if not self.has_time("mesh", 60):
            return
        host = bool(self.options.host_engines)
        count = self.options.host_engines or self.options.gpus
        hosts = self.out / "hosts"
        hosts.write_text("127.0.0.1\n" * count)
        port = str(random.randrange(12000, 30000))
        plot = self.out / ("mesh.svg" if shutil.which("gnuplot") else "mesh.gnuplot")
        with open(self.out / "mesh.txt", "w", encoding="utf-8") as text:
            ranks = [subprocess.Popen(
                [self.sluice, "mesh", "--hosts", hosts, "--rank", str(rank), "--port", port,
                 *(["--engines", "1"] if host else ["--gpus", str(rank)]), "--channels", "8",
                 "--size", f"8,{self.options.size}", "--json", self.out / "mesh.json",
                 "--plot", plot],
                stdout=text, stderr=text) for rank in range(count)]
            try:
                failed = [rank.wait(timeout=100) for rank in ranks]
            except subprocess.TimeoutExpired:
                failed = [-1]
            for rank in ranks:
                rank.kill()
        if any(failed):
            self.failed.append("mesh")

    def finish(self):
        lines, best = [], {}
        for (design, channels), runs in sorted(self.figures.items(), key=lambda item: item[0][1]):
            total = statistics.median(rows["all"]["gbytes_per_s"] for rows in runs)
            cpu = statistics.median(rows["all"]["cpu_s_per_gb"] for rows in runs)
            each = [statistics.median(rows[name]["gbytes_per_s"] for rows in runs)
                    for name in runs[0] if name != "all"]
            best.setdefault(channels, {})[design] = (total, cpu, each, len(runs))
            lines.append(f"{design:14} {channels} channels  {total:7.2f} GB/s in all  "
                         f"{min(each):6.2f} to {max(each):6.2f} an engine  {cpu:.3f} CPU-s/GB  "
                         f"({len(runs)} runs)")
        for channels, both in best.items():
            if len(both) == 2:
                one, other = both["orchestrator"], both["multi-process"]
                lines.append(f"{channels} channels: orchestrator to multi-process: bandwidth "
                             f"{one[0] / other[0]:.2f}, CPU per GB {one[1] / other[1]:.2f}")
        for name, figures in self.nccl.items():
            lines.append(f"NCCL's sockets, {name}: {figures['gbytes_per_s']:.2f} GB/s in all, "
                         f"{figures['cpu_s_per_gb']:.3f} CPU-s/GB")
        if self.nccl and best:
            ours = max(total[0] for both in best.values() for total in both.values())
            theirs = max(figures["gbytes_per_s"] for figures in self.nccl.values())
            lines.append(f"best of ours to the best of NCCL's sockets: {ours / theirs:.2f}")
        lines += [f"failed: {', '.join(self.failed) or 'nothing'}",
                  f"left out: {', '.join(self.left_out) or 'nothing'}"]
        (self.out / "summary.txt").write_text("\n".join(lines) + "\n")
        (self.out / "summary.json").write_text(json.dumps(
            {"pairs": {f"{design}, {channels} channels": dict(zip(
                ("gbytes_per_s", "cpu_s_per_gb", "each_gbytes_per_s", "runs"), figures))
                for channels, both in best.items() for design, figures in both.items()},
             "nccl_sockets": self.nccl, "failed": self.failed, "left_out": self.left_out},
            indent=1) + "\n")
        print("\n".join(lines))
        return 1 if self.failed else 0


def count_gpus():
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], stdout=subprocess.PIPE, text=True, timeout=30)
        return listed.stdout.count("GPU ")
    except OSError:
        return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--programs", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("eight-gpus"))
    parser.add_argument("--gpus", type=int, default=count_gpus())
    parser.add_argument("--host-engines", type=int, default=0, help="rehearse without GPUs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", default="64M")
    parser.add_argument("--phase-ms", type=int, default=400)
    options = parser.parse_args()
    if options.gpus == 0 and options.host_engines == 0:
        sys.exit("no GPU here; --host-engines N rehearses without")
    options.out.mkdir(parents=True, exist_ok=True)
    run = Run(options)
    with open(run.out / "machine.txt", "w", encoding="utf-8") as text:
        subprocess.run(["bash", "-c", "nvidia-smi; nvidia-smi topo -m; lscpu; uname -a; free -g; "
                        "cat /proc/sys/net/ipv4/tcp_congestion_control"],
                       stdout=text, stderr=text, check=False)
    run.all_pairs(range(min(1, options.rounds)))  # Once of everything before anything twice.
    run.mesh()
    run.all_nccl()
    run.all_pairs(range(1, options.rounds))
    return run.finish()


if __name__ == "__main__":
    sys.exit(main())

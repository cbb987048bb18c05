#!/usr/bin/env python3
"""Checks and measures the GPU parts on a machine with one or two GPUs, in one run.

Two steps, because a GPU machine may lack what a build needs:

    python3 bench/gpu.py prepare build-gpu            # anywhere with nvcc: programs that run alone
    python3 bench/gpu.py check build-gpu --out DIR    # on the GPU machine: two minutes
    python3 bench/gpu.py measure build-gpu --out DIR  # on the GPU machine: at most eight

With one GPU both ends use it, and the results say so. Every program's output lies in DIR as it
was; DIR/summary.json has the medians. The exit status is 0 when every check passed and everything
could be measured, whether or not a bar was reached. --only NAME,... takes some of the steps.
"""

import argparse
import glob
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = {"sluice_command": "bin/sluice", "raw_socket": "bin/raw_socket",
            "bench_gpu": "bin/bench_gpu", "gpu_test": "tests/gpu_test",
            "nccl_net_sluice": "lib/libnccl-net-sluice.so",  # For gpu_nccl_plugin.py.
            "perf_in_process": "lib/libsluice-perf.so"}
ALONE = ["-DCMAKE_EXE_LINKER_FLAGS=-static-libstdc++ -static-libgcc",
         "-DCMAKE_BUILD_RPATH=$ORIGIN"]
BESIDE = ("libisal.so.2",)  # What distributions have no archive of.
MIB = 1 << 20
CHANNELS = (1, 2, 4, 8, 16)
LARGE = (64 * MIB, 256 * MIB)
SMALL = (4 << 10, 8 << 10, 16 << 10, 32 << 10)
ROUNDS = 5
BLOCKS, BLOCK_BYTES = 10_000, 16 << 10
MEASURE_LIMIT_S = 460  # For everything; what does not fit is left out and named.
NCCL_S = 140  # Of it, for the rounds beside NCCL's sockets and the first of their settings.


def prepare(folder):
    """Builds programs that need nothing but the C library, and lays them in `folder` with what
    they find beside them."""
    build = folder.with_name(folder.name + "-tree")
    sodium = glob.glob("/usr/lib/*/libsodium.a")
    alone = ALONE + [f"-Dpkgcfg_lib_sodium_sodium={path}" for path in sodium[:1]]
    subprocess.run(["cmake", "-S", ROOT, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                    *alone], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["nice", "-n", "5", "ninja", "-C", build, *PROGRAMS], check=True)
    for program in PROGRAMS.values():
        folder.mkdir(exist_ok=True)
        target = folder / pathlib.Path(program).name
        subprocess.run(["strip", "-o", target, build / program], check=True)
        print(f"{target}: {target.stat().st_size >> 10} KiB")
    for library in BESIDE:
        shutil.copy(glob.glob(f"/usr/lib/*/{library}")[0], folder)


class Run:
    def __init__(self, programs, out, gpus):
        self.programs, self.out, self.gpus = programs, out, gpus
        self.end = time.monotonic() + MEASURE_LIMIT_S
        self.failed, self.left_out, self.summary = [], [], {}
        # Client and server: two GPUs where there are two.
        self.ends = ["--gpu", "0", "--server-gpu", "1" if gpus > 1 else "0"]

    def call(self, name, command, limit_s, required=True, **options):
        """Runs a program, its output in out/name; its output, or None when it failed."""
        if time.monotonic() + 5 > self.end:
            self.left_out.append(name)
            return None
        limit_s = min(limit_s, self.end - time.monotonic())
        try:
            done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=limit_s, **options)
            text, status = done.stdout, done.returncode
        except subprocess.TimeoutExpired as error:  # It holds bytes, whatever was asked for.
            text, status = (error.stdout or b"").decode(errors="replace"), -1
            text += f"\nnot finished within {limit_s:.0f} s\n"
        except OSError as error:
            text, status = str(error), -1
        (self.out / name).write_text(text)
        if status == 0:
            return text
        print(f"  {name}: exit status {status}: {text.strip()[-600:]}", flush=True)
        if required:
            self.failed.append(name)
        return None

    def machine(self):
        self.call("machine.txt", ["bash", "-c", "nvidia-smi; nvidia-smi topo -m; lscpu; uname -a; "
                                  "cat /proc/sys/net/ipv4/tcp_congestion_control; free -g"], 30,
                  required=False)
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        names = self.call("gpus.txt", query, 20)
        self.summary["gpus"] = (names or "").split("\n")[:-1]
        self.summary["cores"] = os.cpu_count()
        self.summary["ends"] = "client on GPU 0, server on GPU " + self.ends[3]

    def tests(self):
        text = self.call("gpu_test.txt", [self.programs / "gpu_test"], 120)
        if text is not None and "cuda" in text and "SKIPPED" in text:
            self.failed.append("gpu_test.txt: skipped, there is no GPU")
        return text is not None

    def sanitizer(self):
        tool = shutil.which("compute-sanitizer") or next(
            iter(glob.glob("/usr/local/cuda*/bin/compute-sanitizer") +
                 glob.glob("/opt/nvidia/**/compute-sanitizer", recursive=True)), None)
        if tool is None:
            self.left_out.append("compute-sanitizer: not here")
            return
        # What racecheck takes longest for, on all three Gpus; the other tests run the same kernel.
        for kind, but, limit_s in (("memcheck", "", 75),
                                   ("racecheck", ":*OfEveryAlignmentAndLength*", 260)):
            self.call(f"{kind}.txt", [tool, "--tool", kind, "--error-exitcode", "9",
                                      # Asking what a pointer is, is how host memory is told.
                                      "--report-api-errors", "no",
                                      self.programs / "gpu_test",
                                      "--gtest_filter=*cuda_auto:*cuda_kernel:*one_sm"
                                      ":-*LongerThanTheList*:*64MiB*" + but], limit_s)

    def kernels(self):
        self.call("bench_gpu.txt", [self.programs / "bench_gpu", "0", self.out / "bench_gpu.jsonl"],
                  150)

    def perf(self, name, channels, sizes, *more, ends=None, **options):
        """Rows by size of one `sluice perf local`, GPU to GPU if `ends` does not say otherwise."""
        ends = self.ends if ends is None else ends
        report = self.out / f"{name}.json"
        text = self.call(f"{name}.txt",
                         [self.programs / "sluice", "perf", "local", *ends, "--channels",
                          channels, "--size", ",".join(map(str, sizes)), "--json", report, *more],
                         90, **options)
        if text is None:
            return {}
        rows = json.loads(report.read_text())["results"]
        if any(row["memory"] != ("cuda" if ends else "host") for row in rows):
            self.failed.append(f"{name}: it measured other memory")
        return {row["size_bytes"]: row for row in rows}

    def raw(self, name, connections):
        text = self.call(f"{name}.txt",
                         [self.programs / "raw_socket", "--connections", connections, "--bytes",
                          min(16, 3 * connections) << 30, "--rcvbuf", 786432, "--json"], 60)
        return None if text is None else json.loads(text)["gbytes_per_s"]

    def bandwidth(self, rounds=ROUNDS, channels=CHANNELS):
        """Interleaved: each round measures everything once."""
        rates = {}
        for round_number in range(rounds):
            for count in channels:
                name = f"perf_{count}_channels_{round_number}"
                for size, row in self.perf(name, count, LARGE, "--phase-ms", 250).items():
                    rates.setdefault((count, size), []).append(row["gbytes_per_s"])
                rate = self.raw(f"raw_{count}_connections_{round_number}", count)
                if rate is not None:
                    rates.setdefault((count, "raw"), []).append(rate)
        table = self.summary["bandwidth_gbytes_per_s"] = {}
        for (count, size), values in rates.items():
            what = size if size == "raw" else f"{size // MIB} MiB"
            table.setdefault(f"{count} channels", {})[what] = {
                "median": statistics.median(values), "all": values}
        self.show("bandwidth, GB/s", {f"{count} {what}": cell["median"]
                                      for count, row in table.items()
                                      for what, cell in row.items()})

    def latency(self, rounds=ROUNDS):
        samples = {}
        for round_number in range(rounds):
            rows = self.perf(f"latency_{round_number}", 2, SMALL, "--phase-ms", 300)
            for size, row in rows.items():
                samples.setdefault(size, []).append(row["p50_us"])
        self.summary["one_way_p50_us"] = {str(size): {"median": statistics.median(values),
                                                      "all": values}
                                          for size, values in samples.items()}
        self.show("one way p50, us", {size: statistics.median(values)
                                      for size, values in samples.items()})

    def blocks(self, rounds=ROUNDS):
        """10,000 blocks of 16 KiB, scattered at both ends, beside as many bytes in one piece."""
        whole = BLOCKS * BLOCK_BYTES
        scattered = ("--blocks", BLOCKS, "--block-size", BLOCK_BYTES, "--layout", "random")
        rates = {}
        for round_number in range(rounds):
            for op in ("write", "read"):
                for what, more in (("one piece", ()), ("4 SMs", scattered),
                                   ("16 SMs", (*scattered, "--set", "gpu_sms=16"))):
                    name = f"blocks_{op}_{what.replace(' ', '_')}_{round_number}"
                    for row in self.perf(name, 8, (whole,), "--op", op, "--phase-ms", 300,
                                         *more).values():
                        rates.setdefault((op, what), []).append(row["gbytes_per_s"])
        medians = {key: statistics.median(values) for key, values in rates.items()}
        self.summary["blocks_gbytes_per_s"] = {
            f"{op}, {what}": {"median": medians[op, what], "all": values}
            for (op, what), values in rates.items()}
        self.show("scattered blocks, GB/s", {f"{op}, {what}": value
                                             for (op, what), value in medians.items()})

    def checksums(self, rounds=ROUNDS):
        """What checking everything end to end costs: of GPU memory, and of host memory."""
        rates = {}
        for round_number in range(rounds):
            for memory, ends in (("GPU", self.ends), ("host", ())):
                for checksum in (0, 1):
                    name = f"checksum_{memory}_{checksum}_{round_number}"
                    for row in self.perf(name, 8, (64 * MIB,), "--checksum", checksum,
                                         "--phase-ms", 300, ends=ends).values():
                        rates.setdefault((memory, checksum), []).append(
                            (row["gbytes_per_s"], row["cpu_s_per_gb"]))
        self.summary["checksums"] = {
            f"{memory}, checksum {checksum}": {
                "gbytes_per_s": statistics.median(rate for rate, _ in values),
                "cpu_s_per_gb": statistics.median(cpu for _, cpu in values), "all": values}
            for (memory, checksum), values in rates.items()}
        self.show("checked, GB/s", {what: cell["gbytes_per_s"]
                                    for what, cell in self.summary["checksums"].items()})

    def unpacking_plugin(self):
        """libnccl-net-sluice.so as a Net that unpacks: the setting, and the environment."""
        env = {**os.environ, "SLUICE_NCCL_DEVICE": "unpack", "NCCL_PROTO": "Simple",
               "NCCL_ALGO": "Ring", "NCCL_GRAPH_REGISTER": "0", "NCCL_LOCAL_REGISTER": "0",
               "NCCL_NET_GDR_LEVEL": "SYS", "NCCL_NET_GDR_READ": "0", "NCCL_SOCKET_IFNAME": "lo",
               "NCCL_DEBUG": "INFO"}
        return f"net=plugin:{self.programs / 'libnccl-net-sluice.so'}", env

    def plugin(self, rounds=ROUNDS):
        """GPU memory through a plugin that unpacks: libnccl-net-sluice.so, driven by the engine."""
        net, env = self.unpacking_plugin()
        scattered = ("--op", "write", "--blocks", 4096, "--block-size", BLOCK_BYTES, "--layout",
                     "random")
        # A size a run: the plugin takes memory of the GPU before a connection's first message only.
        runs = [("messages", size, ()) for size in (4 << 10, MIB, 64 * MIB, 256 * MIB)]
        runs.append(("blocks", 64 * MIB, scattered))
        rates = {}
        for round_number in range(rounds):
            for what, size, more in runs:
                name = f"plugin_{what}_{size}_{round_number}"
                for row in self.perf(name, 8, (size,), "--phase-ms", 300, "--verify",
                                     "first" if round_number else "all", "--set", net, *more,
                                     env=env).values():
                    if round_number:  # Checking all of it takes its time.
                        rates.setdefault(f"{what} {size}", []).append(row["gbytes_per_s"])
        self.summary["plugin_gbytes_per_s"] = {
            key: {"median": statistics.median(values), "all": values}
            for key, values in rates.items()}
        self.show("through a plugin that unpacks, GB/s",
                  {key: statistics.median(values) for key, values in rates.items()})

    def beside(self):
        """A matrix product with and without an engine that receives beside it, in turns."""
        kernels = ("--set", "gpu_unpack=kernel", "--set", "gpu_pack=kernel")
        net, env = self.unpacking_plugin()
        for name, more, options in (
                ("beside", (), {}), ("beside_kernels", kernels, {}),
                ("beside_kernels_more_staging", (*kernels, "--set", "gpu_staging_bytes=8MiB"), {}),
                ("beside_scattered", ("--scattered",), {}),
                ("beside_plugin", ("--set", net), {"env": env}),
                ("beside_kernels_of_another_process", ("--own-process", *kernels), {})):
            text = self.call(f"{name}.txt",
                             [sys.executable, ROOT / "bench/gpu_beside.py", self.programs,
                              "--sender-gpu", self.ends[3], *more], 90, required=False, **options)
            if text is not None:
                self.summary[name] = json.loads(text.strip().split("\n")[-1])
                self.show(name, self.summary[name])

    def nccl(self):
        """Beside NCCL's own socket transport, at all of its settings."""
        if self.gpus < 2:
            self.left_out.append("nccl: needs two GPUs")
            return
        spare = self.end - time.monotonic() - NCCL_S
        if spare < 0:
            self.left_out.append(f"nccl: needs {NCCL_S} s")
            return
        text = self.call("nccl.txt", [sys.executable, ROOT / "bench/gpu_nccl_sockets.py",
                                      self.programs, "--out", self.out / "nccl",
                                      "--limit-s", min(60, spare)], NCCL_S + 80, required=False)
        if text is not None:
            self.summary["nccl_gbytes_per_s"] = json.loads(text.strip().split("\n")[-1])
            self.show("beside NCCL's sockets", self.summary["nccl_gbytes_per_s"])

    @staticmethod
    def show(title, figures):
        print(f"{title}: " + ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in figures.items()), flush=True)

    def finish(self):
        self.summary["failed"], self.summary["left_out"] = self.failed, self.left_out
        (self.out / "summary.json").write_text(json.dumps(self.summary, indent=1) + "\n")
        print("failed:", ", ".join(self.failed) or "nothing")
        print("left out:", ", ".join(self.left_out) or "nothing")
        return 1 if self.failed else 0


def count_gpus():
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], stdout=subprocess.PIPE, text=True, timeout=30)
        return listed.stdout.count("GPU ")
    except OSError:
        return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("prepare", "check", "measure"))
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("gpu-results"))
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    if arguments.what == "prepare":
        prepare(folder)
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    run = Run(folder, arguments.out.resolve(), count_gpus())
    if arguments.what == "check":
        steps = {"machine": run.machine, "tests": run.tests,
                 "bandwidth": lambda: run.bandwidth(1, (8,)), "latency": lambda: run.latency(1)}
    else:
        steps = {"machine": run.machine, "tests": run.tests, "sanitizer": run.sanitizer,
                 "kernels": run.kernels, "latency": run.latency, "bandwidth": run.bandwidth,
                 "blocks": run.blocks, "checksums": run.checksums, "plugin": run.plugin,
                 "beside": run.beside, "nccl": run.nccl}
    for name, step in steps.items():
        if arguments.only and name not in arguments.only.split(","):
            continue
        start = time.monotonic()
        print(f"== {name}", flush=True)
        if step() is False:  # A GPU that fails its tests is not worth measuring.
            break
        print(f"   {time.monotonic() - start:.0f} s", flush=True)
    return run.finish()


if __name__ == "__main__":
    sys.exit(main())

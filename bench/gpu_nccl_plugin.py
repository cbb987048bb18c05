#!/usr/bin/env python3
"""NCCL on libnccl-net-sluice.so, checked and measured through PyTorch, two ranks on one host.

    python3 bench/gpu_nccl_plugin.py --plugin FILE --out DIR --check    # about a minute
    python3 bench/gpu_nccl_plugin.py --plugin FILE --out DIR            # at most five

Every way of WAYS is a pair of processes, which live side by side and work one pair at a time, so
that what is measured is interleaved. First each way is checked: all_reduce, all_gather and
send/recv of 0 B to 256 MiB, content compared, and NCCL's log must say that the way's net, and in
UNPACK mode its unpacking, was used; without the file of the plugin the job must fail. Then send
and recv are measured beside NCCL's own socket transport. With one GPU both ranks use it, which
NCCL takes for two hosts; that is good for checking only.

DIR gets summary.json, summary.txt, and NCCL's log of every process. The exit status is 0 when every
check passed. --only NAME,... takes some of the ways.
"""

import argparse
import json
import os
import pathlib
import queue
import re
import socket
import statistics
import subprocess
import sys
import threading
import time

KIB, MIB = 1 << 10, 1 << 20
CHECK_SIZES = (0, 1, 15, 16, 17, 4095, 4096, 4097, 64 * KIB + 3, MIB, 4 * MIB + 1, 16 * MIB,
               64 * MIB + 5, 256 * MIB)
MEASURED_SIZES = {4 * KIB: 400, MIB: 200, 64 * MIB: 32, 256 * MIB: 8}  # Messages a round.
BAR_SIZE, BAR = 64 * MIB, 1.5
ROUNDS = 5
COMMAND_LIMIT_S = 60

CARRIED = re.compile(r"NET/sluice : .*carried: .* of (\d+) received")  # plugins/nccl/plugin.cc
P2P_CHANNELS = re.compile(r"(\d+) p2p channels per peer")  # NCCL's init.cc

COMMON = {"NCCL_P2P_DISABLE": "1", "NCCL_SHM_DISABLE": "1", "NCCL_NVLS_ENABLE": "0",
          "NCCL_PXN_DISABLE": "1", "NCCL_SOCKET_IFNAME": "lo", "NCCL_DEBUG": "INFO",
          "NCCL_DEBUG_SUBSYS": "INIT,NET,ENV,GRAPH", "OMP_NUM_THREADS": "1"}
# What docs/nccl-plugin.md asks for in UNPACK mode.
UNPACK = {"SLUICE_NCCL_DEVICE": "unpack", "NCCL_PROTO": "Simple", "NCCL_ALGO": "Ring",
          "NCCL_GRAPH_REGISTER": "0", "NCCL_LOCAL_REGISTER": "0", "NCCL_NET_GDR_LEVEL": "SYS"}


def tuned(channels, threads, sockets, chunk=512 * KIB, buffer=4 * MIB):
    # A communicator has few channels where NICs are slow, as loopback is to NCCL, and send and recv
    # have no more of them unless they are asked for by the first two.
    return {"NCCL_MIN_P2P_NCHANNELS": channels, "NCCL_MAX_P2P_NCHANNELS": channels,
            "NCCL_NCHANNELS_PER_NET_PEER": channels, "NCCL_SOCKET_NTHREADS": threads,
            "NCCL_NSOCKS_PERTHREAD": sockets, "NCCL_P2P_NET_CHUNKSIZE": chunk,
            "NCCL_BUFFSIZE": buffer}


def other_channels(settings, log):
    """What is wrong with the channels per peer that NCCL's log tells of, or None."""
    asked = str(settings.get("NCCL_NCHANNELS_PER_NET_PEER", ""))
    found = set(P2P_CHANNELS.findall(log))
    if not asked or found == {asked}:
        return None
    return f"channels per peer: {', '.join(sorted(found)) or 'none logged'}, not {asked}"


HOST_SENDS = {"NCCL_NET_GDR_READ": 0}   # NCCL's kernel fills pinned memory.
# Name: NCCL's net, and settings. The first of a kind is the one that --check takes.
WAYS = {
    "socket-8ch-4x4": ("Socket", tuned(8, 4, 4)),
    "socket-8ch-2x2-1M": ("Socket", tuned(8, 2, 2, MIB, 8 * MIB)),
    "socket-8ch-4x2-2M": ("Socket", tuned(8, 4, 2, 2 * MIB, 16 * MIB)),
    "socket-8ch-4x4-4M": ("Socket", tuned(8, 4, 4, 4 * MIB, 32 * MIB)),
    "socket-4ch-4x4-4M": ("Socket", tuned(4, 4, 4, 4 * MIB, 32 * MIB)),
    "socket-default": ("Socket", {}),
    "host-default": ("sluice", {}),
    "host-8ch-2": ("sluice", tuned(8, 2, 1)),
    "host-8ch-2-1M": ("sluice", tuned(8, 2, 1, MIB, 8 * MIB)),
    "host-8ch-2-1M-spin": ("sluice", {**tuned(8, 2, 1, MIB, 8 * MIB), "SLUICE_SPIN_US": 2000}),
    "host-8ch-3-1M-spin": ("sluice", {**tuned(8, 3, 1, MIB, 8 * MIB), "SLUICE_SPIN_US": 2000}),
    "unpack-8ch-2": ("sluice", {**UNPACK, **HOST_SENDS, **tuned(8, 2, 1)}),
    "unpack-16ch-1": ("sluice", {**UNPACK, **HOST_SENDS, **tuned(16, 1, 1)}),
}
CHECKED_WAYS = ("host-default", "unpack-8ch-2")


# -- a rank --------------------------------------------------------------------------------------

def pattern(torch, size, seed):
    """Bytes that no shifted, missing or doubled piece leaves as they are."""
    index = torch.arange(size, dtype=torch.int32, device="cuda")
    return ((index * 1103515245 + (index >> 12) * 40503 + seed * 7919) >> 13).to(torch.uint8)


def check_size(torch, dist, rank, size, seed):
    """What is wrong with this size, or nothing."""
    mine, other = (pattern(torch, size, 2 * seed + r) for r in (rank, 1 - rank))
    wrong = []
    total = mine.clone()
    dist.all_reduce(total)
    if not torch.equal(total, mine + other):
        wrong.append(f"all_reduce of {size} B")
    gathered = [torch.zeros_like(mine) for _ in range(2)]
    dist.all_gather(gathered, mine)
    if not torch.equal(gathered[rank], mine) or not torch.equal(gathered[1 - rank], other):
        wrong.append(f"all_gather of {size} B")
    for sender in (0, 1):
        if rank == sender:
            dist.send(mine, 1 - rank)
            continue
        arrived = torch.zeros_like(mine)
        dist.recv(arrived, sender)
        if not torch.equal(arrived, other):
            wrong.append(f"send of {size} B to rank {rank}")
    torch.cuda.synchronize()
    return wrong


def send_messages(torch, dist, rank, data, count):
    """Seconds for `count` messages from rank 0 to rank 1; the last one is there at the end."""
    dist.barrier()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        if rank == 0:
            dist.send(data, 1)
        else:
            dist.recv(data, 0)
    torch.cuda.synchronize()
    return time.perf_counter() - start


def rank_main(rank, gpu):
    """Does what lines of JSON on stdin ask for, one answer a line."""
    import torch
    import torch.distributed as dist
    torch.cuda.set_device(gpu)
    dist.init_process_group("nccl", rank=rank, world_size=2, device_id=torch.device("cuda", gpu))
    dist.barrier()
    print(json.dumps({"nccl": ".".join(map(str, torch.cuda.nccl.version()))}), flush=True)
    buffers = {}
    for line in sys.stdin:
        asked = json.loads(line)
        answer = {}
        if asked["do"] == "check":
            answer["wrong"] = check_size(torch, dist, rank, asked["size"], asked["seed"])
        elif asked["do"] == "send":
            size = asked["size"]
            if size not in buffers:
                buffers[size] = pattern(torch, size, rank)
                send_messages(torch, dist, rank, buffers[size], 2)  # Makes the connections.
            answer["seconds"] = send_messages(torch, dist, rank, buffers[size], asked["count"])
            if rank == 1 and not torch.equal(buffers[size], pattern(torch, size, 0)):
                answer["wrong"] = [f"send of {size} B"]
        print(json.dumps(answer), flush=True)
        torch.cuda.empty_cache()
    dist.destroy_process_group()


# -- the pairs -----------------------------------------------------------------------------------

def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class Pair:
    """Two ranks of one way. What goes wrong is in `failure`, and ends the pair."""

    def __init__(self, name, net, settings, plugin, out, gpus):
        self.name, self.net, self.settings, self.out = name, net, settings, out
        self.failure = None
        self.sent_bytes = 0  # By send, at least; collectives come on top.
        port = str(free_port())
        self.ranks, self.answers = [], []
        for rank in range(2):
            own = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NCCL_NET": net,
                   "NCCL_DEBUG_FILE": self.log(rank), "NCCL_HOSTID": f"node{rank}", **COMMON,
                   **settings}
            if net == "sluice":
                own.update(NCCL_NET_PLUGIN=plugin, NCCL_NET_PLUGIN_REF_COUNT="1")
            with open(out / f"{name}-{rank}.err", "w") as errors:
                process = subprocess.Popen(
                    [sys.executable, __file__, "--rank", str(rank), "--gpu", str(rank % gpus)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                    env={**os.environ, **{key: str(value) for key, value in own.items()}})
            lines = queue.Queue()
            threading.Thread(target=self.read, args=(process, lines), daemon=True).start()
            self.ranks.append(process)
            self.answers.append(lines)

    @staticmethod
    def read(process, lines):
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    def log(self, rank):
        return str(self.out / f"{self.name}-{rank}.nccl.log")

    def answer(self, limit_s):
        """Of both ranks, or None."""
        end = time.monotonic() + limit_s
        answers = []
        for rank, lines in enumerate(self.answers):
            try:
                line = lines.get(timeout=max(0.1, end - time.monotonic()))
            except queue.Empty:
                return self.fail(f"rank {rank} gave no answer within {limit_s:.0f} s")
            try:
                answers.append(json.loads(line or ""))
            except ValueError:
                return self.fail(f"rank {rank} said {line!r}")
        return answers

    def ask(self, limit_s=COMMAND_LIMIT_S, **command):
        if self.failure:
            return None
        try:
            for process in self.ranks:
                process.stdin.write(json.dumps(command) + "\n")
                process.stdin.flush()
        except OSError as error:
            return self.fail(str(error))
        answers = self.answer(limit_s)
        self.sent_bytes += command["size"] * (2 if command["do"] == "check" else command["count"])
        wrong = [text for answer in answers or () for text in answer.get("wrong", ())]
        return self.fail("wrong content: " + ", ".join(wrong)) if wrong else answers

    def fail(self, why):
        if self.failure is None:
            self.failure = why
        for process in self.ranks:
            process.kill()
        return None

    def end(self):
        """Lets the ranks say goodbye, which makes the plugin log what it has carried."""
        for process in self.ranks:
            try:
                process.stdin.close()
            except OSError:
                pass
        for process in self.ranks:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()

    def logged(self):
        """Of both ranks."""
        return "".join(pathlib.Path(self.log(rank)).read_text(errors="replace")
                       for rank in range(2) if pathlib.Path(self.log(rank)).exists())

    def check_channels(self):
        """Sets `failure` where NCCL has other channels than the settings name."""
        if self.failure is None:
            self.failure = other_channels(self.settings, self.logged())

    def proof(self):
        """Lines of NCCL's logs that tell who carried it; sets `failure` where it was another."""
        text = self.logged()
        used = text.count(f"via NET/{self.net}")
        others = sum(text.count(f"via {way}") for way in ("NET/", "P2P", "SHM")) - used
        carried = [int(found) for found in CARRIED.findall(text)]
        proof = {"connections": used, "by others": others,
                 "unpack": text.count("NCCL_NET_DEVICE_UNPACK net plugin"),
                 "GPU memory": text.count("/GDRDMA"),
                 # The plugin's own count, where NCCL has told it to end.
                 "bytes asked for": self.sent_bytes, "bytes received": sum(carried)}
        if self.failure is None and (used == 0 or others > 0):
            self.failure = f"NCCL's log shows {used} connections over {self.net}, {others} others"
        self.check_channels()
        if self.failure is None and carried and sum(carried) < self.sent_bytes:
            self.failure = f"the plugin received {sum(carried)} bytes of {self.sent_bytes}"
        if (self.failure is None and "SLUICE_NCCL_DEVICE" in self.settings and
                proof["unpack"] == 0):
            self.failure = "NCCL's log does not speak of unpacking"
        return proof


class Run:
    def __init__(self, arguments, gpus):
        self.out, self.plugin, self.gpus = arguments.out, arguments.plugin, gpus
        self.check_only = arguments.check or gpus < 2
        self.end = time.monotonic() + (80 if arguments.check else 270)
        self.summary = {"gpus": gpus, "cores": os.cpu_count(), "ways": {}, "left_out": []}
        only = arguments.only.split(",") if arguments.only else (
            CHECKED_WAYS if self.check_only else WAYS)
        self.pairs = [self.pair(name) for name in only]

    def pair(self, name):
        net, settings = WAYS[name]
        return Pair(name, net, settings, str(self.plugin), self.out, self.gpus)

    def left_s(self):
        return self.end - time.monotonic()

    def alive(self):
        return [pair for pair in self.pairs if pair.failure is None]

    def start(self):
        for pair in self.pairs:
            answers = pair.answer(max(5, min(55 if self.check_only else 90, self.left_s())))
            if answers:
                self.summary["nccl"] = answers[0]["nccl"]

    def check(self):
        sizes = CHECK_SIZES if self.gpus > 1 else CHECK_SIZES[:-2]
        for seed, size in enumerate(sizes):
            for pair in self.alive():
                if pair.net == "Socket" and not self.check_only:
                    continue
                if self.left_s() < (5 if self.check_only else 60):
                    self.summary["left_out"].append(f"check of {size} B, {pair.name}")
                    continue
                pair.ask(do="check", size=size, seed=seed)

    def measure(self):
        seconds = {}
        for _ in range(ROUNDS):
            for size, count in MEASURED_SIZES.items():
                for pair in self.alive():
                    if self.left_s() < 15:
                        self.summary["left_out"].append(f"{size} B, {pair.name}")
                        continue
                    answers = pair.ask(do="send", size=size, count=count)
                    if answers:
                        seconds.setdefault((pair.name, size), []).append(
                            answers[1]["seconds"] / count)
        for (name, size), values in seconds.items():
            row = self.summary["ways"].setdefault(name, {})
            row[str(size)] = {"microseconds": statistics.median(values) * 1e6,
                              "gbytes_per_s": size / statistics.median(values) / 1e9,
                              "all_gbytes_per_s": [size / value / 1e9 for value in values]}

    def missing_plugin(self):
        """NCCL must not come up when the plugin's file is not there."""
        pair = Pair("no-plugin", "sluice", {}, str(self.plugin) + ".missing", self.out, self.gpus)
        came_up = pair.answer(50) is not None
        if pair.failure is not None and "no answer" in pair.failure:
            self.summary["left_out"].append("whether NCCL comes up without the plugin's file")
        pair.fail("")
        return None if not came_up else "without the plugin's file NCCL came up all the same"

    def finish(self, missing):
        for pair in self.pairs:
            pair.end()
        failed = [missing] if missing else []
        for pair in self.pairs:
            row = self.summary["ways"].setdefault(pair.name, {})
            row["settings"], row["proof"] = pair.settings, pair.proof()
            if pair.failure is not None:
                failed.append(f"{pair.name}: {pair.failure}")
        self.summary["failed"] = failed
        text = self.table() + "\n".join(["failed: " + (line or "") for line in failed] or
                                        ["failed: nothing"]) + "\n"
        if self.summary["left_out"]:
            text += "left out: " + ", ".join(self.summary["left_out"]) + "\n"
        (self.out / "summary.json").write_text(json.dumps(self.summary, indent=1) + "\n")
        (self.out / "summary.txt").write_text(text)
        print(text, end="")
        return 1 if failed else 0

    def best(self, kind):
        rates = [row[str(BAR_SIZE)]["gbytes_per_s"] for name, row in self.summary["ways"].items()
                 if name.startswith(kind) and str(BAR_SIZE) in row]
        return max(rates, default=0)

    def table(self):
        ends = "one rank a GPU" if self.gpus > 1 else "both ranks on one GPU: checked only"
        lines = [f"NCCL {self.summary.get('nccl')}, {ends}, {os.cpu_count()} cores; medians of "
                 f"{ROUNDS}", f"{'':20}{'4 KiB':>10}{'1 MiB':>10}{'64 MiB':>10}{'256 MiB':>10}"
                 "  connections, unpack, GPU memory; GB asked for, received",
                 f"{'':20}{'us':>10}{'GB/s':>10}{'GB/s':>10}{'GB/s':>10}"]
        for name, row in self.summary["ways"].items():
            cells = [row.get(str(size), {}) for size in MEASURED_SIZES]
            shown = [cells[0].get("microseconds")] + [c.get("gbytes_per_s") for c in cells[1:]]
            proof = row["proof"]
            lines.append(f"{name:20}" + "".join(f"{'-':>10}" if value is None else f"{value:10.1f}"
                                                for value in shown) +
                         f"  {proof['connections']}, {proof['unpack']}, {proof['GPU memory']}; "
                         f"{proof['bytes asked for'] / 1e9:.1f}, "
                         f"{proof['bytes received'] / 1e9:.1f}")
        sockets = self.best("socket")
        if sockets > 0:
            self.summary["ratio_64MiB"] = {kind: self.best(kind) / sockets
                                           for kind in ("host", "unpack")}
            lines.append("64 MiB, best against NCCL's best sockets (bar 1.5): " + ", ".join(
                f"{kind} {ratio:.2f}" for kind, ratio in self.summary["ratio_64MiB"].items()))
        return "\n".join(lines) + "\n"


def count_gpus():
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], stdout=subprocess.PIPE, text=True, timeout=30)
        return listed.stdout.count("GPU ")
    except OSError:
        return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plugin", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("gpu-nccl-results"))
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--gpu", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rank is not None:
        rank_main(arguments.rank, arguments.gpu)
        return 0
    gpus = min(count_gpus(), 2)
    if gpus == 0 or arguments.plugin is None or not arguments.plugin.exists():
        sys.exit("needs a GPU and --plugin FILE")
    arguments.plugin = arguments.plugin.resolve()
    arguments.out = arguments.out.resolve()
    arguments.out.mkdir(parents=True, exist_ok=True)
    run = Run(arguments, gpus)
    started = time.monotonic()
    missing = run.missing_plugin()  # While the others start.
    run.start()
    run.check()
    if not run.check_only:
        run.measure()
    code = run.finish(missing)
    print(f"{time.monotonic() - started:.0f} s")
    return code


if __name__ == "__main__":
    sys.exit(main())

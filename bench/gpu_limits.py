#!/usr/bin/env python3
"""What a machine gives each part of a transfer from GPU 0 to GPU 1 through loopback TCP, alone and
together: the copy out of GPU 0, the copy into GPU 1 (both with pinned host memory), and raw
sockets between two processes.

    python3 bench/gpu_limits.py --programs build-gpu      # needs PyTorch, two GPUs

Prints a table and, as its last line, JSON. GB/s of 1e9 bytes, medians.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import threading
import time

import torch

SLOT = 512 << 10
ROUNDS = 5
AHEAD = 16  # Copies between two looks.


class Copies(threading.Thread):
    """Copies slots of pinned memory out of or into a GPU until told to stop, and counts."""

    def __init__(self, gpu, into_gpu, slots):
        super().__init__()
        self.gpu, self.into_gpu, self.slots = gpu, into_gpu, slots
        self.host = torch.empty(slots * SLOT, dtype=torch.uint8, pin_memory=True)
        self.device = torch.zeros(slots * SLOT, dtype=torch.uint8, device=f"cuda:{gpu}")
        self.stop, self.bytes = False, 0

    def run(self):
        torch.cuda.set_device(self.gpu)
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            while not self.stop:
                # In long copies: two threads of this language hold each other up.
                for _ in range(AHEAD):
                    if self.into_gpu:
                        self.device.copy_(self.host, non_blocking=True)
                    else:
                        self.host.copy_(self.device, non_blocking=True)
                stream.synchronize()
                self.bytes += AHEAD * self.slots * SLOT


def raw(programs, connections, seconds_bytes):
    return subprocess.Popen([programs / "raw_socket", "--connections", str(connections), "--bytes",
                             str(seconds_bytes), "--rcvbuf", "786432", "--json"],
                            stdout=subprocess.PIPE, text=True)


def measure(programs, ways, connections, slots, seconds=0.7):
    """{way: GB/s} of what runs at the same time."""
    copies = {way: Copies(0 if way == "out" else 1, way == "in", slots)
              for way in ways if way != "raw"}
    sockets = raw(programs, connections, 30 << 30) if "raw" in ways else None
    for copy in copies.values():
        copy.start()
    time.sleep(0.2)
    before, start = {way: copy.bytes for way, copy in copies.items()}, time.monotonic()
    if sockets is not None:
        rates = {"raw": json.loads(sockets.communicate()[0])["gbytes_per_s"]}
    else:
        time.sleep(seconds)
        rates = {}
    elapsed = time.monotonic() - start
    for way, copy in copies.items():
        rates[way] = (copy.bytes - before[way]) / elapsed / 1e9
        copy.stop = True
    for copy in copies.values():
        copy.join()
    return rates


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--programs", type=pathlib.Path, required=True)
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args()
    result = []
    for slots in (16, 128):  # 8 and 64 MiB: in the processor's cache, or not.
        for ways in (["out"], ["in"], ["out", "in"], ["raw"], ["raw", "out"], ["raw", "in"],
                     ["raw", "out", "in"]):
            if slots != 16 and ways == ["raw"]:
                continue
            runs = [measure(options.programs.resolve(), ways, options.connections, slots)
                    for _ in range(ROUNDS)]
            row = {"together": " + ".join(ways), "slots": slots,
                   **{way: statistics.median(run[way] for run in runs) for way in ways}}
            result.append(row)
            print(f"{row['together']:16} {slots:4} slots  " + "  ".join(
                f"{way} {row[way]:6.1f} GB/s" for way in ways), flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

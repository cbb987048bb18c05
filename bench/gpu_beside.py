#!/usr/bin/env python3
"""How much a matrix product on GPU 0 loses while an engine beside it receives into that GPU.

    python3 bench/gpu_beside.py PROGRAMS [--own-process] [--turns 5] [--sender-gpu 1]
                                [--scattered] [--set NAME=VALUE ...]

PROGRAMS is a folder made by `gpu.py prepare`. The receiver is an engine in the process of the
product, as in an inference server, or with --own-process in another one, whose kernels share the
GPU with the product by taking turns in time. In turns: the product alone, then with 64 MiB
messages arriving over 8 channels, or with writes of 4096 blocks of 16 KiB. Settings are those of
both ends. Takes PyTorch. The last line is JSON.
"""

import argparse
import atexit
import ctypes
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import torch

N = 8192
WHOLE = ("--size", "64M")
SCATTERED = ("--op", "write", "--blocks", 4096, "--block-size", 16384, "--layout", "random")
PHASE_S = 3.0
PORT = 19201
START_S = 1.2  # From the client's start until messages flow, at most.


def rate(a, b, seconds):
    """TFLOP/s of products one after the other; the queue is kept short."""
    torch.cuda.synchronize()
    start, count = time.perf_counter(), 0
    while time.perf_counter() < start + seconds:
        for _ in range(8):
            torch.mm(a, b)
        count += 8
        torch.cuda.synchronize()
    return count * 2 * N**3 / (time.perf_counter() - start) / 1e12


def start_server(programs, own_process, arguments):
    """Serves one client on GPU 0; the function returned waits for its end."""
    arguments = ["server", "--gpu", "0", "--once", "--port", str(PORT), *arguments]
    if own_process:
        child = subprocess.Popen([programs / "sluice", "perf", *arguments],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        atexit.register(child.kill)
        return child.wait
    words = [b"sluice perf"] + [word.encode() for word in arguments]
    library = ctypes.CDLL(str(programs / "libsluice-perf.so"))
    argv = (ctypes.c_char_p * len(words))(*words)
    status = []
    thread = threading.Thread(  # Without a client it waits for ever.
        target=lambda: status.append(library.sluice_perf_server(len(words), argv)), daemon=True)
    thread.start()

    def wait():
        thread.join()
        return status[0]
    return wait


def start_client(programs, gpu, report, arguments):
    return subprocess.Popen(
        [str(word) for word in (programs / "sluice", "perf", "client", "127.0.0.1", "--port", PORT,
                                "--gpu", gpu, "--channels", 8, "--verify", "none",
                                "--phase-ms", int(PHASE_S * 1000), "--json", report, *arguments)],
        stdout=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("--own-process", action="store_true")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--sender-gpu", type=int, default=1)
    parser.add_argument("--scattered", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    what = SCATTERED if options.scattered else WHOLE
    settings = [word for setting in options.set for word in ("--set", setting)]
    programs = options.programs.resolve()
    for name in ("sluice", "libsluice-perf.so"):
        if not (programs / name).exists():
            parser.error(f"{programs / name} is not there: make the folder with gpu.py prepare")
    a, b = (torch.randn(N, N, device="cuda:0", dtype=torch.bfloat16) for _ in range(2))
    rate(a, b, 2)  # Warm.
    alone, beside, received = [], [], []
    for _ in range(options.turns):
        alone.append(rate(a, b, 1.5))
        wait_for_server = start_server(programs, options.own_process, settings)
        time.sleep(0.8)
        with tempfile.TemporaryDirectory() as folder:
            report = pathlib.Path(folder) / "report.json"
            client = start_client(programs, options.sender_gpu, report, [*what, *settings])
            end = time.perf_counter() + START_S
            rate(a, b, end - time.perf_counter())
            beside.append(rate(a, b, PHASE_S - START_S))
            rate(a, b, START_S)  # So that it lies beside all that the client measures.
            if client.wait() != 0 or wait_for_server() != 0:
                sys.exit("the transfer failed, for the reason above")
            received.append(json.loads(report.read_text())["results"][0]["gbytes_per_s"])
    lost = [100 * (1 - with_it / without) for without, with_it in zip(alone, beside)]
    print(json.dumps({"alone_tflops": statistics.median(alone),
                      "beside_tflops": statistics.median(beside),
                      "lost_percent": statistics.median(lost), "lost_percent_all": lost,
                      "gbytes_per_s": statistics.median(received),
                      "gbytes_per_s_all": received}))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""How much a matrix product loses while another program runs: python3 gpu_beside.py -- COMMAND...

Takes PyTorch. In turns, five times: the product alone for a second, then the command with the
product beside it from its start to its end. The last line is JSON.
"""

import json
import re
import statistics
import subprocess
import sys
import time

import torch

N = 8192
TURNS = 5


def rate(a, b, go_on):
    """TFLOP/s of products one after the other, while go_on(); the queue is kept short."""
    torch.cuda.synchronize()
    start, count = time.perf_counter(), 0
    while go_on():
        for _ in range(8):
            torch.mm(a, b)
        count += 8
        torch.cuda.synchronize()
    return count * 2 * N**3 / (time.perf_counter() - start) / 1e12


def main():
    command = sys.argv[sys.argv.index("--") + 1:]
    a, b = (torch.randn(N, N, device="cuda:0", dtype=torch.bfloat16) for _ in range(2))
    end = time.perf_counter() + 2
    rate(a, b, lambda: time.perf_counter() < end)  # Warm.
    alone, beside, gbytes = [], [], []
    for _ in range(TURNS):
        end = time.perf_counter() + 1.5
        alone.append(rate(a, b, lambda: time.perf_counter() < end))
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        time.sleep(2.5)  # Its start, allocation and check.
        end = time.perf_counter() + 1.5
        beside.append(rate(a, b, lambda: time.perf_counter() < end and child.poll() is None))
        text = child.communicate()[0]
        print(text)
        row = re.search(r"^\s*64 MiB\s+(.*)$", text, re.MULTILINE)
        if row:
            numbers = [float(word) for word in row[1].split() if re.fullmatch(r"[\d.]+", word)]
            gbytes.append(numbers)
    lost = [100 * (1 - with_it / without) for without, with_it in zip(alone, beside)]
    print(json.dumps({"alone_tflops": statistics.median(alone),
                      "beside_tflops": statistics.median(beside),
                      "lost_percent": statistics.median(lost), "lost_percent_all": lost,
                      "transfer_rows": gbytes}))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What NCCL's socket transport moves from GPU 0 to GPU 1, through PyTorch's send and recv.

NCCL's settings come from the environment. The last line is JSON.
"""

import json
import os
import statistics
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

SIZES = {"64 MiB": 64 << 20, "256 MiB": 256 << 20}
ROUNDS = 5


def rank_main(rank):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29599", NCCL_P2P_DISABLE="1",
                      NCCL_SHM_DISABLE="1", NCCL_NET="Socket", NCCL_SOCKET_IFNAME="lo")
    torch.cuda.set_device(rank)
    dist.init_process_group("nccl", rank=rank, world_size=2)
    result = {}
    for name, size in SIZES.items():
        data = torch.full((size,), rank, dtype=torch.uint8, device=f"cuda:{rank}")
        rates = []
        for round_number in range(ROUNDS + 1):
            dist.barrier()
            torch.cuda.synchronize()
            start = time.perf_counter()
            count = max(4, (1 << 30) // size)
            for _ in range(count):
                dist.send(data, 1) if rank == 0 else dist.recv(data, 0)
            torch.cuda.synchronize()
            if round_number > 0:
                rates.append(size * count / (time.perf_counter() - start) / 1e9)
        assert rank == 0 or int(data.sum()) == 0, "wrong content"
        result[name] = statistics.median(rates)
    if rank == 1:
        print(json.dumps(result), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.spawn(rank_main, nprocs=2)

#!/usr/bin/env python3
"""What NCCL's socket transport moves from GPU i to GPU i + n/2 (modulo n), all n at once, through
PyTorch's batched send and recv. NCCL's settings come from the environment. The last line is JSON.
"""

import argparse
import json
import os
import resource
import statistics
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

ROUNDS = 5


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def rank_main(rank, world, size, count):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29598", NCCL_P2P_DISABLE="1",
                      NCCL_SHM_DISABLE="1", NCCL_NET="Socket", NCCL_SOCKET_IFNAME="lo")
    torch.cuda.set_device(rank)
    dist.init_process_group("nccl", rank=rank, world_size=world)
    target, source = (rank + world // 2) % world, (rank - world // 2) % world
    data = torch.full((size,), rank + 1, dtype=torch.uint8, device=f"cuda:{rank}")
    into = torch.zeros_like(data)
    rates, costs = [], []
    for number in range(ROUNDS + 1):
        dist.barrier()
        torch.cuda.synchronize()
        start, cpu = time.perf_counter(), cpu_seconds()
        for _ in range(count):
            for work in dist.batch_isend_irecv([dist.P2POp(dist.isend, data, target),
                                                dist.P2POp(dist.irecv, into, source)]):
                work.wait()
        torch.cuda.synchronize()
        took = torch.tensor([time.perf_counter() - start, cpu_seconds() - cpu], device="cuda")
        slowest, cpu_all = took[:1].clone(), took[1:].clone()
        dist.all_reduce(slowest, op=dist.ReduceOp.MAX)
        dist.all_reduce(cpu_all)
        if number > 0:
            moved = world * size * count / 1e9
            rates.append(moved / float(slowest))
            costs.append(float(cpu_all) / moved)
    assert bool((into == source + 1).all()), "wrong content"
    if rank == 0:
        print(json.dumps({"gbytes_per_s": statistics.median(rates),
                          "cpu_s_per_gb": statistics.median(costs), "all": rates}), flush=True)
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=64)
    options = parser.parse_args()
    size = options.size_mib << 20
    world = torch.cuda.device_count()
    mp.spawn(rank_main, args=(world, size, max(4, (1 << 30) // size)), nprocs=world)


if __name__ == "__main__":
    main()

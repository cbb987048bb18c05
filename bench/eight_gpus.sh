#!/usr/bin/env bash
# The shape that this project comes from, on one machine with eight GPUs (or two, or four): GPU i to
# GPU i + n/2 for all i at once, all engines in one process and a process each, beside NCCL's
# sockets on the same pattern; then every GPU to every other. At most eight minutes in all.
#
#   bench/eight_gpus.sh [--out DIR] [--programs DIR] [...]    # see bench/eight_gpus.py
#
# --programs takes what `python3 bench/gpu.py prepare DIR` built elsewhere: the machine then needs
# no compiler and no library.
set -euo pipefail
cd "$(dirname "$0")/.."

case " $* " in
  *" --programs "*) ;;
  *)
    python3 bench/gpu.py prepare build-gpu
    set -- --programs build-gpu "$@"
    ;;
esac
exec python3 bench/eight_gpus.py "$@"

#!/usr/bin/env bash
# Records what `sluice topo` reads of this machine's sysfs, as a tree that `sluice topo --sysfs` and
# tests/data/topology can use: GPUs, physical NICs, the bridges above them, NUMA nodes.
#
#   scripts/record-sysfs.sh FOLDER
set -euo pipefail
[[ $# == 1 ]] || { echo "usage: $0 FOLDER" >&2; exit 2; }
[[ ! -e $1 ]] || { echo "$1 exists already" >&2; exit 1; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
sys=${SYSFS_ROOT:-/sys}

copy() {  # copy FILE...: those that are there and can be read, to the same place in the tree
  local file value
  for file; do
    value=$(cat "$file" 2>/dev/null) || continue
    mkdir -p "$out/$(dirname "${file#"$sys"/}")"
    printf '%s\n' "$value" >"$out/${file#"$sys"/}"
  done
}

link() {  # link LINK: the same relative link
  mkdir -p "$out/$(dirname "${1#"$sys"/}")"
  ln -sfn "$(readlink "$1")" "$out/${1#"$sys"/}"
}

for device in "$sys"/bus/pci/devices/*; do
  case $(cat "$device/vendor")$(cat "$device/class") in
    0x10de0x03*)
      link "$device"
      real=$(readlink -f "$device")
      copy "$real"/{vendor,device,class,numa_node}
      ;;
  esac
done

mkdir -p "$out/class/net"
for interface in "$sys"/class/net/*; do
  [[ -e $interface/device ]] || continue
  link "$interface"
  real=$(readlink -f "$interface")
  copy "$real"/{type,speed}
  link "$real/device"
  device=$(readlink -f "$real/device")
  mkdir -p "$out/${device#"$sys"/}"
  while [[ $device != "$sys"/devices ]]; do  # A virtio NIC's place is one folder further up.
    copy "$device/numa_node"
    device=$(dirname "$device")
  done
done

for node in "$sys"/devices/system/node/node[0-9]*; do
  copy "$node/cpulist"
done

#!/usr/bin/env bash
# Installs sluice, moves it elsewhere, and builds and runs the examples against it, found once by
# CMake and once by pkg-config.
#   install_test.sh CMAKE BUILD_FOLDER EXAMPLES_FOLDER      with CXX and CXXFLAGS set
set -euo pipefail
# shellcheck disable=SC2086  # CXXFLAGS is a list.
cmake=$1 build=$2 examples=$3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$cmake" --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/moved"

if grep -ri fmt "$work"/moved/{include,lib*/cmake,lib*/pkgconfig}; then
  echo "fmt is the library's own business, and shows above" >&2
  exit 1
fi

echo "by find_package:"
for example in ping kv_transfer; do
  "$cmake" -S "$examples/$example" -B "$work/$example" -DCMAKE_PREFIX_PATH="$work/moved" >/dev/null
  "$cmake" --build "$work/$example" >/dev/null
  "$work/$example/$example"
done

echo "an address that cannot be left:"
! timeout 20 "$work/kv_transfer/kv_transfer" prefill "$work/no/such" 2>"$work/said"
grep "cannot write $work/no/such" "$work/said"

echo "by pkg-config:"
pc=$(dirname "$(find "$work/moved" -name sluice.pc)")
for static in "" --static; do
  read -ra flags <<<"$(PKG_CONFIG_PATH=$pc pkg-config $static --cflags --libs sluice)"
  "$CXX" -std=c++20 $CXXFLAGS -o "$work/linked" "$examples/ping/ping.cc" "${flags[@]}"
  "$work/linked"
done

# The archive holds the objects of every folder: no two may define the same name.
echo "with every object:"
"$CXX" -std=c++20 $CXXFLAGS -o "$work/linked" "$examples/ping/ping.cc" \
  -Wl,--whole-archive "${flags[@]}" -Wl,--no-whole-archive
"$work/linked"

echo "the plugin for NCCL:"
nm -D --defined-only "$(find "$work/moved" -name libnccl-net-sluice.so)" | grep ncclNetPlugin_v11

echo "the command:"
"$work/moved/bin/sluice" --version

#!/usr/bin/env bash
# Installs the Debian 12 packages that sluice is built, run and checked with.
#   scripts/install-deps.sh           what `make demo` and `make test` need
#   scripts/install-deps.sh --checks  what .ci/run needs on top
#   scripts/install-deps.sh --list    prints all of them, one a line, and installs nothing
# Does nothing, quickly, when all are there.
set -euo pipefail

build=(g++ cmake ninja-build make pkg-config python3 libfmt-dev libcli11-dev nlohmann-json3-dev
       libsodium-dev libisal-dev libgtest-dev libgmock-dev libbenchmark-dev)
run=(gnuplot-nox iperf3 iproute2 python3-yaml)
checks=(git ccache clang-14 clang-format-14 clang-tidy-14 libclang-rt-14-dev)

wanted=("${build[@]}" "${run[@]}")
case "${1:-}" in
  "") ;;
  --checks) wanted+=("${checks[@]}") ;;
  --list)
    printf '%s\n' "${build[@]}" "${run[@]}" "${checks[@]}"
    exit 0
    ;;
  *)
    echo "usage: $0 [--checks | --list]" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null; then
  echo "Not a Debian system; going on with what is installed. Needed: ${wanted[*]}" >&2
  exit 0
fi

# dpkg-query fails when it does not know a package, and still shows the others.
status='${db:Status-Status} ${Package}\n'
installed=$(dpkg-query --show --showformat="$status" "${wanted[@]}" 2>/dev/null || true)
missing=()
for package in "${wanted[@]}"; do
  grep -qxF "installed $package" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ]; then
  {
    echo "These packages are missing, and only root can install them:"
    echo "  apt-get install --no-install-recommends ${missing[*]}"
    echo "Going on without them: the build may stop."
  } >&2
  exit 0
fi

echo "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
  apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"
}
if ! install >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "apt-get failed; the end of its output is above." >&2
  exit 1
fi

#!/usr/bin/env bash
# The plugin shows its seven tables and nothing else: whatever the program has of the same
# libraries stays apart.
#   exports_test.sh LIBRARY
set -euo pipefail

wanted=$(for version in {6..12}; do echo "ncclNetPlugin_v$version"; done | sort)
shown=$(nm -D --defined-only "$1" | awk '{print $NF}' | sort)
diff <(echo "$wanted") <(echo "$shown")

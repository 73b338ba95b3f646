#!/usr/bin/env bash
# The one script for a machine with a GPU; 15 minutes. Without a GPU it runs what it can: `gpu_check.sh --quick`.
#
# Usage: benchmarks/gpu_check.sh [--parts DIR] [--out DIR] [--quick] [SECTION...]
#
#   --parts DIR  a packed TensorFlow with unpack_tensorflow.sh beside or above it; unpacked first
#   --out DIR    gets report.json and a log; by default benchmarks/work/gpu
#   SECTION      startup, maps, xla, ratios, fps, scaling; by default all, in this order
set -euo pipefail
cd "$(dirname "$0")/.."

out=benchmarks/work/gpu parts="" rest=()
while [ $# -gt 0 ]; do
  case "$1" in
    --parts) parts=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    *) rest+=("$1"); shift ;;
  esac
done
mkdir -p "$out"

python=${PYTHON:-python3}
[ -n "${PYTHON:-}" ] || [ ! -x .venv/bin/python ] || python=.venv/bin/python
if [ -n "$parts" ]; then
  unpack=$(find "$parts" "$parts/.." -maxdepth 1 -name unpack_tensorflow.sh | head -n 1)
  folder=$(mktemp -d)
  bash "$unpack" "$parts" "$folder" --no-test
  # shellcheck disable=SC1091
  source "$folder/env.sh"
  python=${PYTHON:-python3}
fi

command -v nvidia-smi > /dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv || echo "no GPU"
PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" "$python" benchmarks/gpu_check.py --out "$out" "${rest[@]}" 2>&1 | tee "$out/log.txt"

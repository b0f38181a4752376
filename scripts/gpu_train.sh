#!/usr/bin/env bash
# Train presage's own model on one CUDA card in about ten minutes, from what is carried along and nothing else.
#
#   scripts/gpu_train.sh pack DIR     where there is a registry: gather all that is needed in DIR, at most 60 MB
#   DIR/gpu_train.sh train OUT        beside the card, offline: record contacts, train; OUT/model is the checkpoint
#
# The card's Python (PYTHON, default python3) brings a CUDA build of torch; PACK_PYTHON is its version where that is not
# 3.12. What is recorded and trained, with its defaults: SYSTEM=reference SIZE=card EPISODES=365 (of each task)
# WORKERS=(all cores but one) SEED=0. DATA names a dataset that is there already. On a CPU it rehearses: SIZE=debug.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}

fail() { echo "gpu_train: $*" >&2; exit 1; }

pack() {
    local out=$1
    mkdir -p "$out"
    "$python" "$here/gpu_pack.py" "$out/presage.tar.xz" --python "${PACK_PYTHON:-3.12}"
    cp "${BASH_SOURCE[0]}" "$out/gpu_train.sh"
}

# What was packed, beside this script; without it the presage that Python finds is used.
unpack() {
    [ -e "$here/presage.tar.xz" ] || return 0
    local site=${SITE:-/tmp/presage-site}
    [ -d "$site/site" ] || { mkdir -p "$site" && tar -xJf "$here/presage.tar.xz" -C "$site"; }
    export PYTHONPATH=$site/site${PYTHONPATH:+:$PYTHONPATH}
}

check() {
    local lacks
    lacks=$("$python" - <<'PY'
import importlib.util

needed = ("torch", "numpy", "scipy", "pyarrow", "matplotlib", "PIL", "tensorboard", "torchmetrics", "tokenizers",
          "safetensors", "msgpack", "tqdm", "av", "mujoco", "metaworld", "gymnasium", "tyro", "wordllama", "presage")
print(" ".join(name for name in needed if importlib.util.find_spec(name) is None))
PY
    )
    [ -z "$lacks" ] || fail "$python has no $lacks: pack again, or choose another PYTHON"
    "$python" -c 'import torch; print("gpu_train:", torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else "no card, a rehearsal on the CPU", flush=True)'
}

train() {
    local out=$1 cores
    cores=$(nproc)
    unpack
    check
    export MUJOCO_GL=${MUJOCO_GL:-egl} OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
    local data=${DATA:-$out/data} presage=("$python" -m presage.interface.cli)
    mkdir -p "$out"
    if [ ! -d "$data" ]; then
        # shellcheck disable=SC2086  # a list of tasks
        "${presage[@]}" collect --out "$data" --play --episodes "${EPISODES:-365}" --seed "${SEED:-0}" \
            --workers "${WORKERS:-$((cores > 1 ? cores - 1 : 1))}" ${TASKS:+--tasks $TASKS}
    fi
    "${presage[@]}" train --system "${SYSTEM:-reference}" --size "${SIZE:-card}" --data "$data" --out "$out" \
        --seed "${SEED:-0}" --json "$out/figures.json"
}

[ $# -eq 2 ] || fail "type: gpu_train.sh pack DIR, or gpu_train.sh train OUT"
case $1 in
    pack | train) "$1" "$2" ;;
    *) fail "$1: pack or train" ;;
esac

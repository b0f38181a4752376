#!/usr/bin/env bash
# Steps 4 to 8 of docs/so101.md: what the dreams of a checkpoint claim, and whether it is true.
#     bash examples/so101/measure.sh runs/so101/model data/so101-parts runs/so101/measured
# Needs presage and python of one environment on the path. Figures appear in the last folder, as text and JSON.
set -euo pipefail
model=$1 train=$2/train test=$2/test out=$3
here=$(dirname "$0") server=ws://127.0.0.1:8100 joint=ws://127.0.0.1:8101 plain=ws://127.0.0.1:8102
names="good hasty shaky1 shaky2 shaky4 left6 left9 right15 far10 far20 high8 high30 late3 late10 open drops"
export MUJOCO_GL=${MUJOCO_GL:-egl}
mkdir -p "$out"
exec > >(tee "$out/figures.txt") 2> >(tee "$out/progress.txt" >&2)

servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true' EXIT
python "$here/policies.py" --port 8100 >&2 & servers+=($!)
presage serve "$model" --use joint --port 8101 >&2 & servers+=($!)
presage serve "$model" --use no_imagination --port 8102 >&2 & servers+=($!)
for url in "$server/good" "$joint" "$plain"; do
    until python -c "from websockets.sync.client import connect; connect('$url').close()" 2>/dev/null; do sleep 1; done
done

presage dream "$test" --checkpoint "$model" --json "$out/gate.json" --out "$out/gate.html"
presage evaluate --data "$test" --checkpoint "$model" --episodes 40 --max-steps 30 \
    --policies $(for p in $names; do echo "$server/$p"; done) joint no_imagination \
    --json "$out/ranked.json"
[ -e "$out/dreams" ] || presage synthesize --data "$train" --checkpoint "$model" --episodes 40 --max-steps 30 \
    --out "$out/dreams" --json "$out/dreams.json"

echo "recorded commands once more" && python "$here/truth.py" replay "$test"
python "$here/truth.py" act "$test" --ranked "$out/ranked.json" --out "$out/truth.json" --policies \
    $(for p in $names; do echo "$server/$p=$server/$p"; done) "joint=$joint" "no_imagination=$plain"
python "$here/truth.py" compare "$out/ranked.json" "$out/truth.json"
echo "labels of dreams" && python "$here/truth.py" replay "$out/dreams" --starts "$out/dreams.json" --recorded "$train"
echo "labels of recorded pictures" && python "$here/truth.py" labels "$test" --checkpoint "$model"

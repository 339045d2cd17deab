#!/usr/bin/env bash
# Makes the built-in model, and the proof of it, from the images in DATA (laid out <kind>/<source>/),
# in the folder WORK. What it wrote on ../shared/data is committed in docs/model; two cores without a
# GPU take three to four hours. Run again after an interruption, it goes on where it was.
set -euo pipefail
DATA=$(realpath "${1:?usage: builtin_model.sh DATA WORK}")
WORK=${2:?usage: builtin_model.sh DATA WORK}
mkdir -p "$WORK/proof"
cd "$WORK"

[ -f data/manifest.csv ] || {
  facecheck fetch --from "$DATA" --pair cufs-photos:cufs-sketches \
    --label generated/ciplab-fakes=composite
  facecheck split --ratio 8:1:1 --seed 0
}

# Trained, calibrated and exported; WORK/builtin.onnx goes to src/facecheck/model/.
if [ ! -d runs/builtin ]; then
  facecheck train --recipe builtin --name builtin
elif [ -f runs/builtin/state.pt ]; then
  facecheck train --resume runs/builtin
fi
cp runs/builtin/log.jsonl proof/training.jsonl
facecheck calibrate runs/builtin --budget 0.01 | tee proof/calibrate.txt
facecheck export runs/builtin --precision fp16 --per-source 0 --out builtin.onnx --overwrite \
  | tee proof/export.txt

# The proof is of the very file that is shipped, on the test split, which chose nothing.
facecheck evaluate builtin.onnx --predictions proof/predictions.csv --features features.npz \
  --overwrite | tee proof/evaluate.txt
facecheck evaluate builtin.onnx --sources ffhq-256 --sources stylegan-256 \
  | tee proof/clean-pair.txt
facecheck benchmark-model builtin.onnx --per-source 0 --out proof/benchmark --overwrite \
  | tee proof/benchmark.txt
facecheck benchmark-model --leave-one-out source --recipe builtin-short --out left-out \
  --per-source 0 | tee proof/leave-one-out.txt
cp left-out/results.jsonl proof/leave-one-out.jsonl

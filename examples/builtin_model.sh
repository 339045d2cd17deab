#!/usr/bin/env bash
# Makes the built-in models, and the proof of them, from the images in DATA (laid out <kind>/<source>/),
# in the folder WORK. What it wrote on ../shared/data is committed in docs/model. Two cores without a
# GPU take about three hours, most of it for features (one hour), the small network and the proof.
# Interrupted, it resumes when run again.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
DATA=$(realpath "${1:?usage: builtin_model.sh DATA WORK}")
WORK=${2:?usage: builtin_model.sh DATA WORK}
mkdir -p "$WORK/proof"
cd "$WORK"

# The data: labelled, deduplicated, split with pairs and persons whole, and the faces cut out.
[ -f data/faces/manifest.csv ] || {
  facecheck index "$DATA" --pair cufs-photos:cufs-sketches --pair celebahq-256:instruct-pix2pix \
    --label generated/ciplab-fakes=composite
  facecheck dedup
  python "$HERE/name_persons.py" data/manifest.csv
  facecheck split --ratio 8:1:1 --seed 0 --group-column person
  facecheck crop data/manifest.csv --out data/faces
}
FACES=(--manifest data/faces/manifest.csv)
# What metadata alone tell, of the files as they came and of the crops.
[ -s proof/audit-files.json ] ||
  facecheck audit data/manifest.csv --per-source 0 --json > proof/audit-files.json
[ -s proof/audit-crops.json ] ||
  facecheck audit data/faces/manifest.csv --per-source 0 --json > proof/audit-crops.json

# The large model: a head on the encoder that comes with the package (examples/clip_encoder.py).
[ -d runs/builtin ] || facecheck train "${FACES[@]}" --recipe builtin --name builtin
# Thresholds from scores by models that never saw a source. Sources that share their processing are
# left out together, and others with them to save time; so does training two heads instead of five.
facecheck leave-out "${FACES[@]}" --recipe builtin --members 2 --out left-out \
  --together ffhq-256:stylegan-256:pacs-art:caltech-faces \
  --together ciplab-photos:ciplab-fakes:buddha-statues:utkface \
  --together sd21:web-women:popart:glint-112 \
  --together sdxl:unsplash-men:pacs-cartoon:cufs-photos:cufs-sketches \
  --together flux:web-faces:vector-avatars:celeba-256 \
  --together sd-lora:sports-press:drawn-avatars:anime-64 \
  --together portraits-512:picasso-crops:anime-96 \
  --together instruct-pix2pix:celebahq-256 --json > proof/leave-out.json
cp left-out/scores.csv proof/left-out-scores.csv
# Each source in turn, and all diffusion at once, by five heads on a sample.
SAMPLE=(--recipe builtin --views 1 --per-source 120)
facecheck leave-out "${FACES[@]}" "${SAMPLE[@]}" --out left-out-each \
  --together ffhq-256:stylegan-256 --together ciplab-photos:ciplab-fakes \
  --together cufs-photos:cufs-sketches --together instruct-pix2pix:celebahq-256 \
  --json > proof/leave-out-each.json
facecheck leave-out "${FACES[@]}" "${SAMPLE[@]}" --out left-out-diffusion --only-together \
  --together "$(printf '%s:' sd21 sdxl flux sd-lora instruct-pix2pix celebahq-256)$(
    printf '%s:' web-faces web-women unsplash-men)sports-press" --json > proof/leave-out-diffusion.json
facecheck calibrate runs/builtin "${FACES[@]}" --left-out left-out/scores.csv --budget 0.02 \
  --json > proof/calibrate.json
cp runs/builtin/best.safetensors builtin.safetensors

# The small one, taught by it, and for three epochs more from there: what is kept is the second run.
small() {  # NAME OPTIONS: trains a run, or goes on with it
  if [ ! -d "runs/$1" ]; then
    facecheck train "${FACES[@]}" --recipe builtin-fast --teacher runs/builtin/best.safetensors \
      --name "$@"
  elif [ -f "runs/$1/state.pt" ]; then
    facecheck train --resume "runs/$1"
  fi
}
small builtin-fast
small builtin-fast-more --weights runs/builtin-fast/best.safetensors --epochs 3 --lr 0.0006 --seed 1
facecheck calibrate runs/builtin-fast-more "${FACES[@]}" --budget 0.02 --json > proof/calibrate-fast.json
facecheck export runs/builtin-fast-more "${FACES[@]}" --precision fp16 --per-source 0 \
  --out builtin-fast.onnx --overwrite | tee proof/export-fast.txt

# The proof is of the very files that are shipped, on the test split, which chose nothing.
python -c 'import shutil; from facecheck.core.workspace import BUILTIN_ENCODER as e; shutil.copy(e, ".")'
for model in builtin.safetensors builtin-fast.onnx; do
  name=${model%.*}
  facecheck evaluate "$model" "${FACES[@]}" --predictions "proof/predictions-$name.csv" \
    --overwrite --json > "proof/evaluate-$name.json"
  facecheck benchmark-model "$model" "${FACES[@]}" --per-source 15 --out "proof/benchmark-$name" \
    --overwrite | tee "proof/benchmark-$name.txt"
done
sed -i "s#$PWD/data/faces/##" proof/*.csv proof/*.json
python "$HERE/model_card.py" proof --into "$HERE/../docs/model-card.md" "$HERE/../README.md"

#!/usr/bin/env bash
# The whole road on all of the images in DATA (laid out <kind>/<source>/), in the folder WORK.
# Its output on ../shared/data is committed as docs/results.md. Two cores, no GPU: about 75 minutes.
set -euo pipefail
DATA=${1:?usage: full_run.sh DATA WORK}
WORK=${2:?usage: full_run.sh DATA WORK}
mkdir -p "$WORK"
cd "$WORK"
step() { printf '\n$ %s\n' "$*"; local start=$SECONDS; "$@"; printf '[%d s]\n' $((SECONDS - start)); }

step facecheck fetch --from "$DATA" --pair cufs-photos:cufs-sketches \
  --label generated/ciplab-fakes=composite
step facecheck split --ratio 8:1:1
# Transfer learning, with the ImageNet weights that the lite0 extra brings
step facecheck train --arch tf_efficientnet_lite0 --image-size 128 --epochs 5 --name lite0
step facecheck evaluate runs/lite0
# The paper's network; from random weights, for want of a hub here
step facecheck train --arch seresnet50 --no-pretrained --image-size 64 --epochs 4 --name seresnet50
step facecheck evaluate runs/seresnet50
step facecheck scan data/raw --checkpoint runs/lite0 --out results.csv

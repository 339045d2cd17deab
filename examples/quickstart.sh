#!/usr/bin/env bash
# The whole pipeline on images drawn here, in a folder of its own: no download, about a minute on two
# cores. Run from anywhere, with facecheck installed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
workspace=${1:-$(mktemp -d)}
mkdir -p "$workspace"
cd "$workspace"

python "$here/draw_faces.py" drawn 40         # images to learn from
python "$here/draw_faces.py" photos 4 1000    # and others to classify

facecheck fetch --from drawn
facecheck split --ratio 8:1:1
# A small network and few pixels, so that it takes seconds; leave the options out for a real one.
facecheck train --arch resnet10t --no-pretrained --image-size 64 --epochs 12 --batch-size 16 --lr 2e-3
facecheck scan ./photos --faces off --out results.csv

echo "workspace: $workspace"
head -n 5 results.csv

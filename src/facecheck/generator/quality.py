"""generate quality: how far generated images are from real ones that the generator never saw."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from facecheck.core.errors import FacecheckError, TrainingError
from facecheck.core.files import path_text, to_path
from facecheck.core.install import extra_hint
from facecheck.core.parallel import Progress, chunked, silent
from facecheck.core.workspace import find_manifest
from facecheck.generator.checkpoint import load_generator
from facecheck.generator.images import RealImages, real_records
from facecheck.generator.options import GenerateQualityOptions
from facecheck.generator.pictures import Pixels
from facecheck.generator.sample import draw, kind_numbers
from facecheck.model.backbones import Backbone, build
from facecheck.model.device import choose_device

#: What sees the images, and the side in pixels it sees them at.
FEATURES = "tf_efficientnet_lite0"
_SIDE = 224
_BATCH = 32
#: Random subsets that a distance is the mean over; each takes half of the images.
_SUBSETS = 50
#: Fewer held-out images of a kind than this give no distance worth the name.
_FEWEST = 20


@dataclass(frozen=True)
class Distance:
    """A kernel inception distance.

    Attributes:
        kid: the mean over random subsets; about 0 for two draws from one set of images.
        spread: the standard deviation over them.
    """

    kid: float
    spread: float


@dataclass(frozen=True)
class KindQuality:
    """How far sets of images are from held-out real images of one kind; all sets are as large.

    Attributes:
        kind: of all of them.
        images: in each set.
        generated: the generator's distance.
        real: that of real images of the train split: what a perfect generator would have.
        noise: that of images of uniform noise: as bad as it gets.
    """

    kind: str
    images: int
    generated: Distance
    real: Distance
    noise: Distance


@dataclass(frozen=True)
class GenerateQualityResult:
    """What ``generate quality`` found.

    Attributes:
        checkpoint: the generator.
        manifest: whose images it was compared with.
        features: the network whose features are compared, and where its weights are from.
        size: side in pixels that all images were brought to first.
        seed: of samples and subsets.
        by_kind: a row for each kind.
    """

    checkpoint: Path
    manifest: Path
    features: str
    size: int
    seed: int
    by_kind: tuple[KindQuality, ...]


def generate_quality(
    checkpoint: Path | str,
    manifest: Path | str | None = None,
    options: GenerateQualityOptions = GenerateQualityOptions(),
    *,
    progress: Progress = silent,
) -> GenerateQualityResult:
    """Compare generated images with held-out real ones, those of ``val`` and ``test``, by kind.

    By the kernel inception distance (Bińkowski et al. 2018, "Demystifying MMD GANs"), which unlike
    FID has no bias that grows as images get fewer, on features of an ImageNet EfficientNet-Lite0
    instead of Inception: compare it with the two anchors next to it, not with published figures.
    Real images are those of the sources that the generator learned from, scaled as it saw them.

    Args:
        checkpoint: by ``generate train``.
        manifest: the one it was trained on, or another with the same sources.
        options: which images. There are never more in a set than held-out or train images.
        progress: called with images done, and in all.

    Raises:
        UsageError: generator or manifest are not there, or a kind, source or device is unknown.
        ManifestError: the manifest cannot be read, or files of it are gone.
        CheckpointError: the generator is damaged, or the features' weights cannot be had.
        TrainingError: too few held-out images, or one that cannot be decoded.
        FacecheckError: the extra ``generate`` is not installed.
    """
    checkpoint, manifest = to_path(checkpoint, "a generator"), find_manifest(manifest)
    require_metric()
    kind, seed = options.kind, options.seed
    target = choose_device(options.device)
    network, header = load_generator(checkpoint)
    places = kind_numbers(kind, header, checkpoint)
    network.to(target).to(memory_format=torch.channels_last)
    held, train = (
        RealImages(
            real_records(manifest, splits, kind=kind, sources=header.sources),
            *(header.kinds, header.size),
        )
        for splits in (["val", "test"], ["train"])
    )
    sizes = {place: _set_size(held, train, place, options.count) for place in places}
    for place, size in sizes.items():
        if size < _FEWEST:
            raise TrainingError(
                f"{path_text(manifest)}: {size} images of {header.kinds[place]} to compare with in "
                f"val and test, or in train: at least {_FEWEST} are needed"
            )
    backbone = build(FEATURES, 1, pretrained=True)
    backbone.model.to(target).eval()
    total, done = 4 * sum(sizes.values()), 0
    rows = []
    for place, size in sizes.items():
        random = np.random.default_rng([seed, place])
        sets = (
            _some(held, place, size, random),
            draw(network, header, [place] * size, seed, target),
            _some(train, place, size, random),
            _noise(header.size, size, random),
        )
        found = []
        for images in sets:
            batches = []
            for batch in chunked(images, _BATCH):
                batches.append(_features(backbone, np.stack(batch), target))
                done += len(batch)
                progress(done, total)
            found.append(torch.cat(batches))
        distances = (_distance(found[0], other, seed) for other in found[1:])
        rows.append(KindQuality(header.kinds[place], size, *distances))
    return GenerateQualityResult(
        checkpoint=checkpoint,
        manifest=manifest,
        features=f"{FEATURES}, weights: {backbone.weights}",
        size=header.size,
        seed=seed,
        by_kind=tuple(rows),
    )


def require_metric() -> None:
    """Raise :class:`FacecheckError` unless the extra ``generate`` is installed."""
    if find_spec("torchmetrics") is None:
        raise FacecheckError(extra_hint("the distance", "generate"))


def _set_size(held: RealImages, train: RealImages, place: int, count: int) -> int:
    return min(count, *(int((images.kinds == place).sum()) for images in (held, train)))


def _some(
    images: RealImages, place: int, size: int, random: np.random.Generator
) -> Iterator[Pixels]:
    """Yield so many images of a kind, drawn by lot."""
    for position in random.permutation(np.flatnonzero(images.kinds == place))[:size]:
        yield images.pixels([int(position)])[0]


def _noise(side: int, size: int, random: np.random.Generator) -> Iterator[Pixels]:
    for _ in range(size):
        yield random.integers(0, 256, (side, side, 3), dtype=np.uint8)


def _features(backbone: Backbone, pixels: Pixels, device: torch.device) -> torch.Tensor:
    """Return what the backbone's head would see of images (N, H, W, 3); shape (N, width)."""
    images = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 255
    mean, std = (
        torch.tensor(values, device=device)[:, None, None]
        for values in (backbone.mean, backbone.std)
    )
    with torch.inference_mode():
        large = functional.interpolate(
            images, _SIDE, mode="bicubic", align_corners=False, antialias=True
        )
        model: Any = backbone.model
        maps = model.forward_features((large - mean) / std)
        features: torch.Tensor = model.forward_head(maps, pre_logits=True)
    return features.cpu()


def _distance(held: torch.Tensor, other: torch.Tensor, seed: int) -> Distance:
    from torchmetrics.image.kid import KernelInceptionDistance

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that features are kept in memory, which they are
        metric = KernelInceptionDistance(
            feature=nn.Identity(), subsets=_SUBSETS, subset_size=len(held) // 2
        )
    metric.update(held, real=True)
    metric.update(other, real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, spread = metric.compute()
    return Distance(round(float(mean), 6), round(float(spread), 6))

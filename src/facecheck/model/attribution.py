"""Heat maps: which parts of a picture moved its score.

What is explained is the log-odds of the artificial score, ``ln(s / (1 - s))`` before the
temperature, which only scales it: a probability near 0 or 1 hardly moves, whatever is changed. It
is explained towards the side that the score leans to: of an artificial face the map shows what
spoke for artificial, of a photograph what spoke for a photograph.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from facecheck.core.labels import Kind
from facecheck.core.parallel import chunked
from facecheck.model.metrics import Floats
from facecheck.model.predict import Pixels, Predictor
from facecheck.model.torch_predictor import TorchPredictor
from facecheck.model.transforms import normalise

if TYPE_CHECKING:
    import torch

    from facecheck.model.checkpoint import Header

#: Cells of an occlusion map a side; the square that hides is two cells wide, so it stops at 7 x 7
#: places.
GRID = 8
#: Share of a crop's side of the square that hides a part of it.
HIDING = 2 / GRID
#: Cells a side from which a feature map says where something is: hiding the hottest square of 66
#: faces, of eleven sources, moves the score more than hiding the coldest in 82 % by Grad-CAM of the
#: built-in model's 7 x 7 cells, in 68 % by 4 x 4 (an EfficientNet-Lite0 at 128 px), in 98 % by
#: :func:`occlusion`.
ENOUGH = 7


def heat_maps(predictor: Predictor, inputs: Pixels, *, batch_size: int = 32) -> Floats:
    """Return where each image holds what moved its score to the side that it leans to.

    By :func:`grad_cam` where torch runs a network whose last features are a map of
    :data:`ENOUGH` cells, else by :func:`occlusion`, which needs nothing but answers.

    Args:
        predictor: the model, on any engine.
        inputs: images as :meth:`~facecheck.model.predict.Predictor.outputs` takes them, shape
            (N, crops, image_size, image_size, 3).
        batch_size: crops in one step, 1 or more.

    Returns:
        shape (N, crops, image_size, image_size), 0 to 1, each image's hottest pixel 1; all 0 where
        nothing spoke for that side.
    """
    sides = leaning(predictor.outputs(inputs)[0], predictor.header)
    maps = grad_cam(predictor, inputs, sides, batch_size=batch_size)
    if maps is None or min(maps.shape[2:]) < ENOUGH:
        maps = occlusion(predictor, inputs, sides, batch_size=batch_size)
    height, width = inputs.shape[2:4]
    crops = [_enlarged(one, (width, height)) for one in maps.reshape(-1, *maps.shape[2:])]
    return _to_one(np.stack(crops).reshape(inputs.shape[:-1]))


def log_odds(logits: Floats, header: Header) -> Floats:
    """Return the log-odds of the artificial score before the temperature, shape (n,).

    Args:
        logits: shape (n, kinds).
        header: of the checkpoint that gave them.
    """
    real = header.kinds.index(Kind.PHOTO)
    return np.asarray(np.logaddexp.reduce(np.delete(logits, real, 1), axis=1) - logits[:, real])


def leaning(logits: Floats, header: Header) -> Floats:
    """Return 1 for each image that is more probably artificial than not, else -1; shape (n,)."""
    return np.where(log_odds(logits, header) >= 0, 1.0, -1.0)


def grad_cam(
    predictor: Predictor, inputs: Pixels, sides: Floats, *, batch_size: int = 32
) -> Floats | None:
    """Return Grad-CAM maps of the log-odds (Selvaraju et al. 2017, equations 1 and 2).

    The channels of the last feature map, each weighed by the mean of its gradient, summed, and cut
    off at 0.

    Args:
        predictor: the model.
        inputs: shape (N, crops, image_size, image_size, 3).
        sides: towards which side, shape (N,): 1 artificial, -1 a photograph.
        batch_size: crops in one step.

    Returns:
        shape (N, crops, h, w), the size of the network's last feature map, 0 or more; None where
        torch does not run the model, or its last features are no map (a transformer's tokens).
    """
    if not isinstance(predictor, TorchPredictor):
        return None
    maps: list[Floats] = []
    towards = np.repeat(sides, inputs.shape[1])
    crops = zip(inputs.reshape(-1, *inputs.shape[2:]), towards, strict=True)
    for batch in chunked(crops, batch_size):
        pixels, signs = (np.stack(part) for part in zip(*batch, strict=True))
        found = _cam(predictor, pixels, signs)
        if found is None:
            return None
        maps.extend(found)
    return np.stack(maps).reshape(*inputs.shape[:2], *maps[0].shape)


def _cam(predictor: TorchPredictor, pixels: Pixels, sides: Floats) -> Floats | None:
    import torch

    header = predictor.header
    model: Any = predictor.model
    with torch.no_grad():
        batch = torch.from_numpy(pixels).to(predictor.device)
        features = model.forward_features(normalise(batch, header.transform))
    if not isinstance(features, torch.Tensor) or features.ndim != 4:
        return None
    with torch.enable_grad():
        features.requires_grad_()
        odds = _log_odds(model.forward_head(features), header.kinds.index(Kind.PHOTO))
        signed = odds @ torch.as_tensor(sides, dtype=odds.dtype, device=odds.device)
        gradients = torch.autograd.grad(signed, features)[0]
    if getattr(model, "output_fmt", "NCHW") == "NHWC":
        features, gradients = (each.permute(0, 3, 1, 2) for each in (features, gradients))
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    heat = (weights * features).sum(dim=1).relu()
    return np.asarray(heat.detach().float().cpu().numpy(), dtype=np.float64)


def _log_odds(logits: torch.Tensor, real: int) -> torch.Tensor:
    import torch

    others = [kind for kind in range(logits.shape[1]) if kind != real]
    return torch.logsumexp(logits[:, others], dim=1) - logits[:, real]


def occlusion(
    predictor: Predictor, inputs: Pixels, sides: Floats, *, batch_size: int = 32
) -> Floats:
    """Return by how much the log-odds fall when a part is hidden (Zeiler and Fergus 2014, 4.2).

    A square of :data:`HIDING` of the side, in the crop's mean colour, stops at half its width and
    height; a cell's heat is the mean over the squares that hide it, cut off at 0.

    Args:
        predictor: the model, on any engine.
        inputs: shape (N, crops, image_size, image_size, 3).
        sides: towards which side, shape (N,): 1 artificial, -1 a photograph.
        batch_size: crops in one step.

    Returns:
        shape (N, crops, GRID, GRID), 0 or more.
    """
    crops = inputs.reshape(-1, 1, *inputs.shape[2:])
    hidden = (crop for one in crops for crop in (one, *_hidden(one[0])))
    odds = np.concatenate(
        [
            log_odds(predictor.outputs(np.stack(batch))[0], predictor.header)
            for batch in chunked(hidden, batch_size)
        ]
    ).reshape(len(crops), -1)
    falls = np.repeat(sides, inputs.shape[1])[:, None] * (odds[:, :1] - odds[:, 1:])
    heat = np.stack([_spread(row.reshape(GRID - 1, GRID - 1)) for row in falls])
    return np.maximum(heat, 0).reshape(*inputs.shape[:2], GRID, GRID)


def _hidden(crop: Pixels) -> Iterator[Pixels]:
    """Yield the crop, shape (1, side, side, 3), with a square hidden at each place, row by row."""
    edges = np.linspace(0, len(crop), GRID + 1).round().astype(int)
    for top, bottom in zip(edges, edges[2:], strict=False):
        for left, right in zip(edges, edges[2:], strict=False):
            yield hide(crop, (left, top, right, bottom))[None]


def hide(crop: Pixels, box: tuple[int, int, int, int]) -> Pixels:
    """Return a crop, shape (side, side, 3), with (left, top, right, bottom) in its mean colour."""
    left, top, right, bottom = box
    hidden = crop.copy()
    hidden[top:bottom, left:right] = crop.mean(axis=(0, 1)).round()
    return hidden


def hottest(heat: Floats) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) of the square of :data:`HIDING` that holds most heat.

    Args:
        heat: of one crop, shape (side, side).
    """
    side = round(HIDING * len(heat))
    sums = np.pad(heat, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    held = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = (int(place) for place in np.unravel_index(held.argmax(), held.shape))
    return left, top, left + side, top + side


def without_hottest(inputs: Pixels, maps: Floats) -> Pixels:
    """Return the inputs of :func:`heat_maps` with the hottest square of each crop hidden."""
    crops = zip(
        inputs.reshape(-1, *inputs.shape[2:]), maps.reshape(-1, *maps.shape[2:]), strict=True
    )
    return np.stack([hide(crop, hottest(heat)) for crop, heat in crops]).reshape(inputs.shape)


def _spread(falls: Floats) -> Floats:
    """Return for each cell the mean fall of the squares over it, shape (GRID, GRID)."""
    sums, count = np.zeros((GRID, GRID)), np.zeros((GRID, GRID))
    for row, column in np.ndindex(*falls.shape):
        cells = np.s_[row : row + 2, column : column + 2]
        sums[cells] += falls[row, column]
        count[cells] += 1
    return sums / count


def _enlarged(heat: Floats, size: tuple[int, int]) -> Floats:
    from PIL import Image

    image = Image.fromarray(heat.astype(np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR), dtype=np.float64)


def _to_one(maps: Floats) -> Floats:
    """Scale each image's maps so that the hottest pixel of all its crops is 1."""
    hottest = maps.max(axis=(1, 2, 3), keepdims=True)
    return np.asarray(maps / np.where(hottest > 0, hottest, 1))

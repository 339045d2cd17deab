"""Training a head on features that are there already: seconds where a network takes hours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from facecheck.core.errors import TrainingError
from facecheck.model.head import Branch, Head
from facecheck.model.metrics import Floats, Labels
from facecheck.training.dataset import epoch_batches
from facecheck.training.loss import losses
from facecheck.training.optim import rate_factor
from facecheck.training.recipe import Recipe

#: One set of features of all images and views: shape (n, views, width), any float type.
FeatureSet = npt.NDArray[np.floating]
#: Rows that are projected at a time: a bound on memory.
CHUNK = 4096


@dataclass(frozen=True)
class FeatureData:
    """What a head is trained on.

    Attributes:
        sets: the encoder's sets of features, each of shape (n, views, width).
        labels: shape (n,), places among the kinds.
        weights: of each image in the loss, shape (n,).
        groups: as :func:`~facecheck.training.dataset.epoch_batches` takes them, or None.
        shares: likewise.
    """

    sets: Sequence[FeatureSet]
    labels: Labels
    weights: npt.NDArray[np.float32]
    groups: npt.NDArray[np.int64] | None = None
    shares: npt.NDArray[np.float64] | None = None


def fit_head(
    data: FeatureData,
    kinds: int,
    photo: int,
    recipe: Recipe,
    on_epoch: Callable[[int, Head, float, float], None] | None = None,
) -> Head:
    """Train a branch for each set of features, every member of it at once.

    Features are centred, scaled to a spread of 1 and projected on their principal components,
    which are not whitened: the small ones are noise. Each member of the ensemble is a hidden layer
    with a linear skip; members differ by their first weights, dropout and mixup (Zhang et
    al. 2018). AdamW.

    Args:
        data: what to learn from.
        kinds: how many there are.
        photo: the place of ``photo`` among them.
        recipe: epochs, batch size, rates, smoothing, mixup, and the head's size.
        on_epoch: called after each epoch with its number, the head so far, the mean loss and top-1
            of the images it was shown.

    Raises:
        TrainingError: a loss that is not finite.
    """
    shares = _shares(recipe, len(data.sets))
    bases = [_basis(one[:, 0], recipe.components) for one in data.sets]
    seen = [_project(one, *basis) for one, basis in zip(data.sets, bases, strict=True)]
    torch.manual_seed(recipe.seed)
    branches = [_Members(one.shape[2], kinds, recipe) for one in seen]
    nets = nn.ModuleList(branches)
    optimiser = torch.optim.AdamW(
        _decayed(nets, recipe.weight_decay), lr=recipe.lr, betas=(0.9, 0.99)
    )
    labels, weights = torch.from_numpy(data.labels), torch.from_numpy(data.weights)
    count, views = seen[0].shape[:2]
    batch_size = int(recipe.batch_size) if recipe.batch_size != "auto" else 256
    steps = recipe.epochs * len(_epoch(data, count, batch_size, recipe, 1))
    step = 0
    for epoch in range(1, recipe.epochs + 1):
        total, right, drawn = 0.0, 0, 0
        rng = np.random.default_rng([recipe.seed, epoch, 1])
        nets.train()
        for batch in _epoch(data, count, batch_size, recipe, epoch):
            chosen = torch.as_tensor(batch)
            view = torch.from_numpy(rng.integers(views, size=len(batch)))
            for group in optimiser.param_groups:
                group["lr"] = recipe.lr * rate_factor(recipe.schedule, step, steps)
            loss = torch.zeros(())
            logits = torch.zeros(len(batch), kinds)
            for share, net, one in zip(shares, branches, seen, strict=True):
                part, answer = net.loss(one[chosen, view], labels[chosen], weights[chosen], photo)
                loss = loss + part
                logits = logits + share * answer
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"the loss is {loss.item()} at epoch {epoch}: lower --lr (now {recipe.lr:g})"
                )
            total += float(loss.detach()) / (len(seen) * recipe.members) * len(batch)
            right += int((logits.argmax(1) == labels[chosen]).sum())
            drawn += len(batch)
            step += 1
        if on_epoch is not None:
            on_epoch(epoch, _head(branches, bases, shares), total / drawn, right / drawn)
    return _head(branches, bases, shares)


class _Members(nn.Module):
    """The perceptrons of one branch: (n, components) to (members, n, kinds)."""

    def __init__(self, components: int, kinds: int, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        shape = (recipe.members, components, recipe.hidden)
        self.hidden = nn.Parameter(torch.randn(shape) * (2 / components) ** 0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(recipe.members, 1, recipe.hidden))
        self.output = nn.Parameter(
            torch.randn(recipe.members, recipe.hidden, kinds) * (1 / max(1, recipe.hidden)) ** 0.5
        )
        self.skip = nn.Parameter(torch.zeros(recipe.members, components, kinds))
        self.bias = nn.Parameter(torch.zeros(recipe.members, 1, kinds))

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Return logits of (members, n, components)."""
        units = functional.relu(torch.baddbmm(self.hidden_bias, seen, self.hidden))
        units = functional.dropout(units, self.recipe.dropout, self.training)
        return units @ self.output + seen @ self.skip + self.bias

    def loss(
        self, seen: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, photo: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the summed loss of all members, and their mean logits, (n, kinds)."""
        members, count = self.recipe.members, len(seen)
        mine = functional.dropout(
            seen.expand(members, *seen.shape), self.recipe.dropout / 2, self.training
        )
        partner = torch.stack([torch.randperm(count) for _ in range(members)])
        lam = torch.ones(members, count, 1)
        if self.recipe.mixup:
            beta = torch.distributions.Beta(self.recipe.mixup, self.recipe.mixup)
            lam = beta.sample((members, count, 1))
            other = torch.gather(mine, 1, partner[..., None].expand_as(mine))
            mine = lam * mine + (1 - lam) * other
        logits = self(mine)
        own, mixed = labels.expand(members, count), labels[partner]
        share = lam[..., 0]
        kind_loss = share * self._each(logits, own) + (1 - share) * self._each(logits, mixed)
        wanted = share * (own != photo) + (1 - share) * (mixed != photo)
        smoothing = self.recipe.label_smoothing
        wanted = wanted * (1 - smoothing) + smoothing / 2
        # The logit of "not a photograph", by the kinds' own probabilities.
        rest = torch.cat([logits[..., :photo], logits[..., photo + 1 :]], dim=2).logsumexp(2)
        artificial = functional.binary_cross_entropy_with_logits(
            rest - logits[..., photo], wanted, reduction="none"
        )
        each = kind_loss + self.recipe.real_loss * artificial
        return (each * weights).mean(1).sum(), logits.mean(0).detach()

    def _each(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        flat = losses(logits.flatten(0, 1), labels.flatten(), self.recipe)
        return flat.reshape(labels.shape)

    def branch(self, mean: Floats, projection: Floats) -> Branch:
        """Return the members side by side, as a file holds them."""
        members = self.recipe.members

        def array(tensor: torch.Tensor) -> Floats:
            return tensor.detach().double().numpy()

        return Branch(
            mean=mean,
            projection=projection,
            hidden=np.concatenate(list(array(self.hidden)), axis=1),
            hidden_bias=array(self.hidden_bias).reshape(-1),
            output=array(self.output).reshape(-1, self.output.shape[2]) / members,
            skip=array(self.skip).mean(0),
            bias=array(self.bias).mean(0)[0],
        )


def _head(nets: Sequence[_Members], bases: Sequence[tuple[Floats, Floats]], shares: Floats) -> Head:
    branches = [net.branch(*basis) for net, basis in zip(nets, bases, strict=True)]
    exact = Head(tuple(branches), tuple(map(float, shares)))
    # As the file rounds it: what is validated is what is kept.
    return Head.from_tensors(exact.tensors(), exact.shares)


def _shares(recipe: Recipe, sets: int) -> Floats:
    shares = np.array(recipe.set_share or [1.0] * sets)
    if len(shares) != sets:
        raise TrainingError(
            f"set share has {len(shares)} numbers, and the encoder gives {sets} sets of features"
        )
    return np.asarray(shares / shares.sum())


def _basis(features: FeatureSet, components: int) -> tuple[Floats, Floats]:
    """Return mean, (width,), and projection, (width, components), of features, (n, width)."""
    table = np.asarray(features, np.float32)
    mean, spread = table.mean(0, dtype=np.float64), table.std(0, dtype=np.float64) + 1e-6
    table = ((table - mean) / spread).astype(np.float32)
    _, vectors = np.linalg.eigh((table.T @ table).astype(np.float64) / len(table))
    chosen = vectors[:, ::-1][:, : min(components, *table.shape)]
    projection = chosen / spread[:, None]
    # So that what a perceptron sees has a spread of about 1, whatever the width.
    scale = np.sqrt((table @ chosen.astype(np.float32)).var(0).mean())
    return np.asarray(mean), np.asarray(projection / scale)


def _project(features: FeatureSet, mean: Floats, projection: Floats) -> torch.Tensor:
    count, views, width = features.shape
    flat = np.empty((count * views, projection.shape[1]), np.float32)
    rows = features.reshape(-1, width)
    for start in range(0, len(rows), CHUNK):
        part = np.asarray(rows[start : start + CHUNK], np.float32) - mean.astype(np.float32)
        flat[start : start + CHUNK] = part @ projection.astype(np.float32)
    return torch.from_numpy(flat.reshape(count, views, -1))


def _decayed(nets: nn.Module, decay: float) -> list[dict[str, object]]:
    matrices = [p for name, p in nets.named_parameters() if "bias" not in name]
    biases = [p for name, p in nets.named_parameters() if "bias" in name]
    return [{"params": matrices, "weight_decay": decay}, {"params": biases, "weight_decay": 0.0}]


def _epoch(
    data: FeatureData, count: int, batch_size: int, recipe: Recipe, epoch: int
) -> list[list[int]]:
    return epoch_batches(
        count, batch_size, recipe.seed, epoch, groups=data.groups, shares=data.shares
    )

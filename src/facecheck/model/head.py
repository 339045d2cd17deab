"""A head on the features of a frozen encoder: small perceptrons whose logits are averaged.

Imports no torch: it is a few matrix products, which NumPy computes wherever the encoder runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facecheck.core.errors import CheckpointError
from facecheck.model.metrics import Floats

#: One array as a file holds it.
Weights = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Branch:
    """Perceptrons on one set of features: a projection for all, then one hidden layer each.

    The members of an ensemble (one for each seed) have their hidden units side by side, and
    ``output`` divides by their number: an average of logits is one wider perceptron.

    Attributes:
        mean: subtracted from the features, shape (width,).
        projection: from features to what the perceptrons see, shape (width, components); the
            features' spread is in it.
        hidden: shape (components, units); without units the branch is linear.
        hidden_bias: shape (units,).
        output: from the hidden units, after ReLU, to logits, shape (units, kinds).
        skip: from what the perceptrons see straight to logits, shape (components, kinds).
        bias: shape (kinds,).
    """

    mean: Weights
    projection: Weights
    hidden: Weights
    hidden_bias: Weights
    output: Weights
    skip: Weights
    bias: Weights

    def __post_init__(self) -> None:
        width, components = self.projection.shape
        units, kinds = self.output.shape
        wanted = {
            "mean": (width,),
            "hidden": (components, units),
            "hidden_bias": (units,),
            "skip": (components, kinds),
            "bias": (kinds,),
        }
        for name, shape in wanted.items():
            found = getattr(self, name).shape
            if found != shape:
                raise CheckpointError(f"head tensor {name} is {found}, not {shape}")

    def project(self, features: npt.ArrayLike) -> Floats:
        """Return what the perceptrons see of features, (n, width), as (n, components)."""
        return np.asarray((np.asarray(features, np.float64) - self.mean) @ self.projection)

    def logits(self, seen: Floats) -> Floats:
        """Return logits, (n, kinds), of what :meth:`project` gives."""
        units = np.maximum(seen @ self.hidden + self.hidden_bias, 0)
        return np.asarray(units @ self.output + seen @ self.skip + self.bias)


@dataclass(frozen=True)
class Head:
    """A branch for each set of features that an encoder gives, in the order of its outputs.

    Attributes:
        branches: one for each set.
        shares: of each branch in the logits, summing to 1.
    """

    branches: tuple[Branch, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.branches or len(self.branches) != len(self.shares):
            raise CheckpointError(
                f"a head of {len(self.branches)} branches with {len(self.shares)} shares"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """How many features each branch takes."""
        return tuple(len(branch.mean) for branch in self.branches)

    def answer(self, features: Sequence[npt.ArrayLike]) -> tuple[Floats, Floats]:
        """Return logits, shape (n, kinds), and what the perceptrons see, shape (n, components).

        The latter is what the out-of-distribution detector compares: the projections of all
        branches side by side.

        Args:
            features: for each branch, shape (n, width).
        """
        seen = [branch.project(one) for branch, one in zip(self.branches, features, strict=True)]
        logits = [
            share * branch.logits(one)
            for share, branch, one in zip(self.shares, self.branches, seen, strict=True)
        ]
        return np.asarray(np.sum(logits, axis=0)), np.concatenate(seen, axis=1)

    def tensors(self) -> dict[str, Weights]:
        """Return the tensors that a file holds, by name, in 16 bits where they are matrices."""
        return {
            f"branches.{place}.{name}": np.ascontiguousarray(
                tensor, np.float16 if tensor.ndim > 1 else np.float32
            )
            for place, branch in enumerate(self.branches)
            for name, tensor in vars(branch).items()
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, Weights], shares: Sequence[float]) -> Head:
        """Return the head of a file's tensors.

        Raises:
            CheckpointError: one is missing or of another shape, or there is one too many.
        """
        names = tuple(Branch.__dataclass_fields__)
        wanted = {f"branches.{place}.{name}" for place in range(len(shares)) for name in names}
        if wanted != tensors.keys():
            raise CheckpointError(f"not the tensors of a head of {len(shares)} branches")
        try:
            branches = [
                Branch(
                    **{
                        name: tensors[f"branches.{place}.{name}"].astype(np.float64)
                        for name in names
                    }
                )
                for place in range(len(shares))
            ]
        except ValueError as error:
            raise CheckpointError(f"tensors of a wrong shape ({error})") from None
        return cls(tuple(branches), tuple(map(float, shares)))

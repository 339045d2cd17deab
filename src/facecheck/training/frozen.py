"""A frozen timm network that gives features as an encoder's file does: ``train --freeze``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from facecheck.core.errors import TrainingError, UsageError
from facecheck.core.install import extra_hint
from facecheck.model.backbones import build
from facecheck.model.checkpoint import PIXELS
from facecheck.model.encoder import EncoderFacts, describe_encoder
from facecheck.model.head import Head
from facecheck.model.metrics import Floats
from facecheck.model.predict import Pixels
from facecheck.model.quiet import quiet
from facecheck.model.transforms import Transform, normalise
from facecheck.training.recipe import Recipe


class FrozenNetwork:
    """A network whose body stays as it is: what is learned is a head on its features.

    Without blocks these are what its last layer sees: the paper's feature transfer. A linear head
    on them is that last layer, so the network with it is a checkpoint like any other
    (:meth:`with_head`). With ``blocks``, each block gives a set of features of its own; the network
    then becomes an encoder's file (:meth:`write_encoder`), and the head a file next to it.

    Args:
        recipe: which network, with which weights, at which size, and which blocks of it.
        kinds: the outputs of its head.
        device: where it computes.

    Attributes:
        facts: its name.
        network: in float32, in evaluation mode.
        weights: where its weights came from, in words.
        transform: how an image becomes its input.
        is_whole: whether a linear head makes it a checkpoint: no blocks were chosen.
        sets: the names of its sets of features.
        widths: how many each has.

    Raises:
        UsageError: the architecture is unknown, has no such blocks or tokens, or without blocks
            its head is not one linear layer on pooled features; or five crops are asked for.
        CheckpointError: initial weights cannot be had.
        TrainingError: blocks are chosen, and what writes an encoder is not installed.
    """

    def __init__(self, recipe: Recipe, kinds: Sequence[str], device: torch.device) -> None:
        if recipe.crop == "five":
            raise UsageError(
                "--freeze and --crop five: features are kept of one crop: leave one of them out"
            )
        if recipe.blocks:
            _need_exporter()
        torch.manual_seed(recipe.seed)
        backbone = build(
            *(recipe.arch, len(kinds)), pretrained=recipe.pretrained, weights=recipe.weights
        )
        self.facts = EncoderFacts(recipe.arch, f"timm {recipe.arch}, {backbone.weights}")
        self.weights = backbone.weights
        self.transform = Transform.for_size(recipe.image_size, backbone.mean, backbone.std)
        self.network = backbone.model.eval().to(device).to(memory_format=torch.channels_last)
        self.is_whole = not recipe.blocks
        self.sets = tuple(f"block {block}" for block in recipe.blocks) or ("features",)
        self._device = device
        self._body = _Body(self.network, self.transform, recipe)
        self.widths: tuple[int, ...] = self._widths()

    @cached_property
    def sha256(self) -> str:
        """Digest of what its features depend on, as what is kept of them names it."""
        digest = hashlib.sha256(f"{self.facts.name} {self.transform} {self._body.what}".encode())
        head = {id(tensor) for tensor in self._head.parameters()}
        for name, tensor in self.network.state_dict(keep_vars=True).items():
            if id(tensor) not in head:
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def features(self, pixels: Pixels) -> tuple[Floats, ...]:
        """Return each set of features of crops, shape (n, width), float32.

        Args:
            pixels: shape (n, side, side, 3), RGB, 0 to 255.
        """
        with torch.inference_mode():
            # One at a time, as an encoder does it: a row is the same whatever is computed with it.
            rows = [self._body(torch.from_numpy(one[None]).to(self._device)) for one in pixels]
        return tuple(
            np.concatenate([part.cpu().numpy() for part in parts])
            for parts in zip(*rows, strict=True)
        )

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Let each thread that calls :meth:`features` compute on one core, within the block."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)

    def with_head(self, head: Head) -> nn.Module:
        """Return the network, on the CPU, with a linear head in the place of its last layer."""
        (branch,) = head.branches
        weight = np.asarray(branch.projection @ branch.skip)
        network = self.network.cpu()
        with torch.no_grad():
            self._head.weight.copy_(torch.from_numpy(weight.T))
            self._head.bias.copy_(torch.from_numpy(branch.bias - branch.mean @ weight))
        return network

    def write_encoder(self, path: Path) -> None:
        """Write what computes the features as an encoder's file, for ONNX Runtime."""
        import onnx

        side = self.transform.image_size
        body, pixels = self._body.cpu(), torch.zeros(1, side, side, 3, dtype=torch.uint8)
        with quiet():
            program = torch.onnx.export(
                *(body, (pixels,)),
                dynamo=True,
                input_names=[PIXELS],
                output_names=list(self.sets),
                verbose=False,
            )
        assert program is not None  # noqa: S101
        model = program.model_proto
        describe_encoder(model, self.facts)
        onnx.save(model, str(path))

    @property
    def _head(self) -> Any:
        return self.network.get_classifier()  # type: ignore[operator]

    def _widths(self) -> tuple[int, ...]:
        """Return how many features there are, after checking that the head is as assumed."""
        side = self.transform.image_size
        pixels = torch.randint(0, 256, (1, side, side, 3), dtype=torch.uint8)
        seen = self.features(pixels.numpy())
        if self.is_whole:
            with torch.inference_mode():
                whole = self.network(normalise(pixels.to(self._device), self.transform))
                if not self._is_answer(seen[0], whole):
                    raise UsageError(
                        f"--freeze: the head of {self.facts.name} is not one linear layer on "
                        "pooled features: choose --blocks, or another --arch"
                    )
        return tuple(one.shape[1] for one in seen)

    def _is_answer(self, seen: Floats, whole: torch.Tensor) -> bool:
        """Return whether the last layer makes of features what the whole network answers."""
        head = self._head
        linear = isinstance(head, nn.Linear) and head.bias is not None
        if not linear or seen.shape != (1, head.in_features):
            return False
        found = head(torch.from_numpy(seen).to(self._device))
        return bool(torch.allclose(found, whole, rtol=1e-3, atol=1e-3))


class _Body(nn.Module):
    """From pixels, (n, side, side, 3), uint8, to sets of features, (n, width) each."""

    def __init__(self, network: nn.Module, transform: Transform, recipe: Recipe) -> None:
        super().__init__()
        self.network: Any = network
        self.transform, self.arch = transform, recipe.arch
        self.blocks, self.pooling = recipe.blocks, recipe.pooling
        self.what = f"{self.blocks} {self.pooling}" if self.blocks else "last"
        tokens = getattr(network, "num_prefix_tokens", 0) or 0
        count = len(getattr(network, "feature_info", ()))
        if self.blocks and (not hasattr(network, "forward_intermediates") or not count):
            raise UsageError(f"--blocks: timm cannot take {self.arch} apart: leave them out")
        if self.blocks and max(self.blocks) > count:
            raise UsageError(f"--blocks {max(self.blocks)}: {self.arch} has {count}, from 1")
        if self.blocks and self.pooling == "class" and not tokens:
            raise UsageError(f"--pooling class: {self.arch} has no class token: take mean")
        self.is_sequence = tokens > 0

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        inputs = normalise(pixels, self.transform)
        if not self.blocks:
            maps = self.network.forward_features(inputs)
            return (self.network.forward_head(maps, pre_logits=True).float(),)
        how: dict[str, Any] = {"intermediates_only": True, "stop_early": True}
        if self.is_sequence:
            how |= {"return_prefix_tokens": True, "output_fmt": "NLC"}
        indices = sorted({block - 1 for block in self.blocks})
        found = self.network.forward_intermediates(inputs, indices=indices, **how)
        by_block = dict(zip(indices, found, strict=True))
        return tuple(self._pooled(by_block[block - 1]).float() for block in self.blocks)

    def _pooled(self, found: Any) -> torch.Tensor:
        if not self.is_sequence:
            maps: torch.Tensor = found
            return maps.mean((2, 3))
        patches, prefix = found
        tokens = prefix[:, :1] if self.pooling == "class" else patches
        # A few channels are a hundred times the others before they are normalised.
        return functional.layer_norm(tokens, tokens.shape[-1:]).mean(1)


def _need_exporter() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise TrainingError(extra_hint("--blocks", "export")) from None

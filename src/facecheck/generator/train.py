"""generate train: a manifest to a generator of faces of its kinds."""

from __future__ import annotations

import json
import math
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from timm.utils.model_ema import ModelEmaV3
from torch import nn
from torch.nn import functional

import facecheck
from facecheck.core.errors import CheckpointError, TrainingError, UsageError
from facecheck.core.files import atomic_path, path_text, sha256_file, write_text
from facecheck.core.kinds import KINDS, check_kind
from facecheck.core.manifest import Manifest, read_manifest
from facecheck.core.parallel import Progress, silent
from facecheck.core.workspace import RUNS, STATE, new_run_folder
from facecheck.generator.checkpoint import Header, save_generator
from facecheck.generator.diffaugment import diffaugment
from facecheck.generator.networks import Discriminator, Generator
from facecheck.generator.pictures import grid, to_pixels
from facecheck.model.dataset import TrainingImages, epoch_batches
from facecheck.model.device import choose_device
from facecheck.model.recipe import Recipe
from facecheck.model.transforms import Transform

#: The checkpoint in a run folder.
GENERATOR = "generator.safetensors"
#: Every kind there is.
ALL = "all"
#: A row of the log for so many steps.
LOG_EVERY = 100
#: Images in a row of a sample grid, one row or more for each kind.
_ACROSS = 8
#: Fewer images than this cannot be learned from.
_FEWEST = 2


@dataclass(frozen=True)
class Settings:
    """How a generator is trained; they stay as they are when a training is gone on with.

    Attributes:
        kind: what to learn, or ``all`` for every kind of the records.
        sources: kinds, sources or ``kind/source`` pairs to learn from; empty for all.
        size: side of the images in pixels, 64 or 128.
        width: channels of the networks' narrowest layers: with twice as many a step takes nearly
            four times as long.
        latent: length of the noise vector.
        batch_size: images of a step, real ones and generated ones each.
        lr_generator: learning rate of the generator's Adam.
        lr_discriminator: of the discriminator's, higher (Heusel et al. 2017, "two time-scale
            update rule").
        ema: share of the averaged generator that a step keeps.
        seed: of all chance.
    """

    kind: str = ALL
    sources: tuple[str, ...] = ()
    size: int = 64
    width: int = 16
    latent: int = 128
    batch_size: int = 32
    lr_generator: float = 2e-4
    lr_discriminator: float = 4e-4
    ema: float = 0.998
    seed: int = 0


@dataclass(frozen=True)
class Row:
    """One row of the log: means over the steps since the row before.

    Attributes:
        step: steps done.
        images: real images seen.
        seconds: of training so far, over all resumptions.
        generator_loss: minus the mean score of generated images.
        discriminator_loss: the hinge loss, 0 where it cannot be fooled, 2 where it cannot tell.
        real_score: mean score of real images.
        fake_score: mean score of generated images.
    """

    step: int
    images: int
    seconds: float
    generator_loss: float
    discriminator_loss: float
    real_score: float
    fake_score: float


@dataclass(frozen=True)
class GenerateTrainResult:
    """What ``generate train`` did.

    Attributes:
        run: the run folder: ``run.json``, ``log.jsonl``, ``grid-*.png``, the checkpoint, and the
            state that it can be gone on from.
        checkpoint: the averaged generator.
        kinds: what it can make.
        images: images it learned from, by kind.
        size: side of its images in pixels.
        steps: done in all.
        seconds: of training, over all resumptions.
        device: what it was trained on.
        log: how it went.
    """

    run: Path
    checkpoint: Path
    kinds: tuple[str, ...]
    images: Mapping[str, int]
    size: int
    steps: int
    seconds: float
    device: str
    log: tuple[Row, ...]


@dataclass
class State:
    """All that changes while a generator is trained.

    Chance is a function of seed and step, so that no generator of random numbers belongs here.
    """

    generator: Generator
    discriminator: Discriminator
    ema: ModelEmaV3
    generator_optimiser: torch.optim.Optimizer
    discriminator_optimiser: torch.optim.Optimizer
    step: int
    seconds: float
    figures: list[list[float]]
    log: list[Row]


def _ignore_row(row: Row) -> None:
    """Ignore a row of the log: the default of ``generate_train``."""


def read_run(run: Path) -> tuple[Path, Settings]:
    """Return the manifest and the settings of a run folder, to go on with it.

    Raises:
        UsageError: it is no run folder of ``generate train``.
    """
    try:
        facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
        stored = facts["settings"]
        settings = Settings(**{**stored, "sources": tuple(stored["sources"])})
        return Path(facts["manifest"]["path"]), settings
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path_text(run)}: not a run folder to go on with ({error}): pass one that `facecheck "
            "generate train` made"
        ) from None


def generate_train(
    manifest: Path,
    settings: Settings = Settings(),
    *,
    steps: int | None = 10_000,
    minutes: float | None = None,
    name: str | None = None,
    runs: Path = RUNS,
    resume: Path | None = None,
    device: str = "auto",
    grid_every: int = 500,
    save_every: float = 300.0,
    progress: Progress = silent,
    on_row: Callable[[Row], None] = _ignore_row,
) -> GenerateTrainResult:
    """Train a class-conditional GAN on a manifest's ``train`` split, excluded records left out.

    Hinge loss (Lim and Ye 2017), Adam (0, 0.9) with two time scales, DiffAugment, and an average
    of the generator's weights, which is what is kept. Kinds are drawn equally often. A training
    that was interrupted goes on from its last saved step, and ends with the weights of an unbroken
    one; one that has ended goes on when it is given more steps or minutes.

    Args:
        manifest: a manifest by ``split``.
        settings: how to train.
        steps: to stop after, in all; None sets no limit.
        minutes: of training to stop after, in all; None sets no limit.
        name: of the run folder; None takes ``generate-`` and the kind.
        runs: the folder that run folders are made in.
        resume: a run folder to go on with; manifest and settings must be its own
            (:func:`read_run`).
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        grid_every: steps between two sample grids.
        save_every: seconds between two savings of the state.
        progress: told steps done and to do; of seconds, where only they are limited.
        on_row: told each row of the log.

    Raises:
        UsageError: the manifest is not there, a kind, source, size or device is unknown, or there
            is no limit.
        ManifestError: the manifest cannot be read, or files of it are gone.
        CheckpointError: a checkpoint cannot be written, or a run cannot be gone on with.
        TrainingError: too little data, a file that turns bad, or a loss that is not finite.
    """
    if steps is None and minutes is None:
        raise UsageError("a training needs an end: pass --steps or --minutes")
    limit = math.inf if minutes is None else 60 * minutes
    target = choose_device(device)
    records = _records(manifest, settings)
    kinds = tuple(kind for kind in KINDS if kind in set(records.frame["kind"]))
    labels = np.array([kinds.index(kind) for kind in records.frame["kind"]])
    images = TrainingImages(
        *(records.paths(), labels.tolist(), Transform(settings.size, settings.size, _HALF, _HALF)),
        Recipe(),
        memory=psutil.virtual_memory().available // 2,
    )
    header = Header(
        *(kinds, settings.size, settings.width, settings.latent),
        sources=_pairs(records),
        manifest_sha256=sha256_file(manifest),
    )
    identity = {
        "settings": json.loads(json.dumps(asdict(settings))),
        "manifest_sha256": header.manifest_sha256,
    }
    state = _first_state(header, settings, target)
    if resume is not None:
        run = resume
        _load(state, run / STATE, identity, target)
    else:
        run = new_run_folder(name or f"generate-{settings.kind}", runs)
        _write_run(run, manifest, settings, header, target)

    def keep() -> None:
        save_generator(state.ema.module, replace(header, steps=state.step), run / GENERATOR)
        write_text(run / "log.jsonl", "".join(json.dumps(asdict(row)) + "\n" for row in state.log))
        _save(state, run / STATE, identity)

    fixed = _noise(settings.seed, -1, _grid_labels(len(kinds)), settings.latent, target)
    if resume is None:
        keep()
    saved_at = tick = time.monotonic()
    for batch in _batches(labels, settings, state.step):
        if (steps is not None and state.step >= steps) or state.seconds >= limit:
            break
        real = _real(images, batch, settings, state.step).to(target)
        figures = _step(state, real, torch.from_numpy(labels[batch]).to(target), settings)
        state.step += 1
        now = time.monotonic()
        state.seconds, tick = state.seconds + now - tick, now
        state.figures.append([*_finite(figures, state.step, settings, run), len(batch)])
        if state.step % LOG_EVERY == 0:
            on_row(_log(state))
        if state.step % grid_every == 0:
            _draw(state.ema.module, fixed, run / f"grid-{state.step:06d}.png")
        if now - saved_at > save_every:
            keep()
            saved_at = now
        if steps is not None:
            progress(state.step, steps)
        else:
            progress(int(state.seconds), int(limit))
    keep()
    _draw(state.ema.module, fixed, run / "grid.png")
    return GenerateTrainResult(
        run=run,
        checkpoint=run / GENERATOR,
        kinds=kinds,
        images={kind: int((labels == place).sum()) for place, kind in enumerate(kinds)},
        size=settings.size,
        steps=state.step,
        seconds=round(state.seconds, 1),
        device=str(target),
        log=tuple(state.log),
    )


#: Pixels of 0 to 1 become -1 to 1.
_HALF = (0.5, 0.5, 0.5)


def _records(manifest: Path, settings: Settings) -> Manifest:
    name = path_text(manifest)
    data = read_manifest(manifest)
    if not (data.frame["split"] != "").any():
        raise TrainingError(f"{name}: no record has a split: run `facecheck split` first")
    data = data.of_sources(settings.sources)
    if settings.kind != ALL:
        data = data.of_sources([check_kind(settings.kind, "--kind")])
    records = data.in_split("train")
    if len(records) < _FEWEST:
        raise TrainingError(
            f"{name}: {len(records)} images to learn from in the train split: add more, or choose "
            "another --kind or --sources"
        )
    records.require_files(manifest)
    return records


def _pairs(records: Manifest) -> tuple[str, ...]:
    return tuple(
        sorted(f"{kind}/{source}" for kind, source in records.frame.select("kind", "source").unique().rows())
    )


def _first_state(header: Header, settings: Settings, device: torch.device) -> State:
    torch.manual_seed(settings.seed)
    generator, discriminator = (
        network.to(device, memory_format=torch.channels_last)
        for network in (
            header.build(),
            Discriminator(len(header.kinds), settings.size, settings.width),
        )
    )
    return State(
        generator,
        discriminator,
        ModelEmaV3(generator, decay=settings.ema, use_warmup=True),
        _adam(generator, settings.lr_generator),
        _adam(discriminator, settings.lr_discriminator),
        step=0,
        seconds=0.0,
        figures=[],
        log=[],
    )


def _adam(network: nn.Module, lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), lr, betas=(0.0, 0.9))


def _batches(
    labels: np.ndarray, settings: Settings, done: int
) -> Iterator[list[int]]:
    """Yield each step's positions without end, from step ``done`` on; kinds equally often."""
    size = min(settings.batch_size, len(labels))
    per_epoch = -(-len(labels) // size)
    epoch, first = divmod(done, per_epoch)
    while True:
        found = epoch_batches(len(labels), size, settings.seed, epoch, groups=labels)
        yield from found[first:]
        epoch, first = epoch + 1, 0


def _real(
    images: TrainingImages, batch: Sequence[int], settings: Settings, step: int
) -> torch.Tensor:
    """Return real images, shape (N, 3, size, size), -1 to 1, every other one mirrored by lot."""
    random = np.random.default_rng([settings.seed, step])
    pixels = np.stack([_middle(images.pixels(position), settings.size) for position in batch])
    mirrored = random.random(len(batch)) < 0.5
    pixels[mirrored] = pixels[mirrored, :, ::-1]
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127.5) / 127.5


def _middle(pixels: np.ndarray, size: int) -> np.ndarray:
    top, left = ((side - size) // 2 for side in pixels.shape[:2])
    return pixels[top : top + size, left : left + size]


def _random(*parts: int) -> torch.Generator:
    """Return what draws for one step: the same on every device, and after a resumption."""
    seed = np.random.SeedSequence([part + 1 for part in parts]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed) >> 1)


def _noise(
    seed: int, step: int, labels: torch.Tensor, latent: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.randn(len(labels), latent, generator=_random(seed, step))
    return drawn.to(device), labels.to(device)


def _grid_labels(kinds: int) -> torch.Tensor:
    rows = 2 if kinds > 2 else 4
    return torch.arange(kinds).repeat_interleave(rows * _ACROSS)


def _step(
    state: State, real: torch.Tensor, kinds: torch.Tensor, settings: Settings
) -> list[float]:
    """Learn once each; return both losses, and the mean scores of real and generated images."""
    random = _random(settings.seed, state.step)
    device = real.device

    def noise() -> torch.Tensor:
        return torch.randn(len(kinds), settings.latent, generator=random).to(device)

    state.generator.train()
    judge = state.discriminator.train().requires_grad_(True)
    with torch.no_grad():
        fake = state.generator(noise(), kinds)
    # Real and generated images are changed by draws of their own, as chance would have it.
    both = diffaugment(torch.cat([real, fake]), random)
    real_score, fake_score = judge(_laid_out(both), kinds.repeat(2)).chunk(2)
    judge_loss = functional.relu(1 - real_score).mean() + functional.relu(1 + fake_score).mean()
    state.discriminator_optimiser.zero_grad()
    judge_loss.backward()
    state.discriminator_optimiser.step()

    judge.requires_grad_(False)
    fooled = judge(_laid_out(diffaugment(state.generator(noise(), kinds), random)), kinds)
    loss = -fooled.mean()
    state.generator_optimiser.zero_grad()
    loss.backward()
    state.generator_optimiser.step()
    state.ema.update(state.generator, state.step + 1)
    return torch.stack([loss, judge_loss, real_score.mean(), fake_score.mean()]).tolist()


def _laid_out(images: torch.Tensor) -> torch.Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def _finite(figures: list[float], step: int, settings: Settings, run: Path) -> list[float]:
    if not all(map(math.isfinite, figures)):
        raise TrainingError(
            f"a loss is not finite at step {step} (generator {figures[0]}, discriminator "
            f"{figures[1]}): lower --lr-generator (now {settings.lr_generator:g}) and "
            f"--lr-discriminator (now {settings.lr_discriminator:g}); what was saved before is in "
            f"{path_text(run)}"
        )
    return figures


def _log(state: State) -> Row:
    means = np.mean(state.figures, axis=0).tolist()
    seen = sum(row[-1] for row in state.figures)
    row = Row(
        step=state.step,
        images=int(seen) + (state.log[-1].images if state.log else 0),
        seconds=round(state.seconds, 1),
        generator_loss=round(means[0], 4),
        discriminator_loss=round(means[1], 4),
        real_score=round(means[2], 4),
        fake_score=round(means[3], 4),
    )
    state.log.append(row)
    state.figures.clear()
    return row


def _draw(network: nn.Module, fixed: tuple[torch.Tensor, torch.Tensor], path: Path) -> None:
    with torch.no_grad():
        pixels = to_pixels(network(*fixed))
    with atomic_path(path) as temporary:
        grid(pixels, across=_ACROSS).save(temporary, format="PNG")


def _write_run(
    run: Path, manifest: Path, settings: Settings, header: Header, device: torch.device
) -> None:
    facts = {
        "facecheck": facecheck.__version__,
        "torch": torch.__version__,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "settings": asdict(settings),
        "kinds": list(header.kinds),
        "sources": list(header.sources),
        "manifest": {"path": path_text(manifest.absolute()), "sha256": header.manifest_sha256},
    }
    write_text(run / "run.json", json.dumps(facts, indent=2) + "\n")


_PARTS = ("generator", "discriminator", "generator_optimiser", "discriminator_optimiser")


def _save(state: State, path: Path, identity: Mapping[str, Any]) -> None:
    stored = {
        "identity": dict(identity),
        **{part: getattr(state, part).state_dict() for part in _PARTS},
        "ema": state.ema.module.state_dict(),
        "step": state.step,
        "seconds": state.seconds,
        "figures": state.figures,
        "log": [asdict(row) for row in state.log],
    }
    try:
        with atomic_path(path) as temporary:
            torch.save(stored, temporary)
    # Torch reports a full disk by RuntimeError.
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"{path_text(path)}: cannot be written ({_first_line(error)}): free some space, then "
            f"go on with --resume {path_text(path.parent)}"
        ) from None


def _load(state: State, path: Path, identity: Mapping[str, Any], device: torch.device) -> None:
    name = path_text(path)
    try:
        stored = torch.load(path, map_location=device, weights_only=True)
        for key, wanted in identity.items():
            if stored["identity"].get(key) != wanted:
                raise CheckpointError(
                    f"{name}: of another training: its {key} differ: start anew without --resume"
                )
        for part in _PARTS:
            getattr(state, part).load_state_dict(stored[part])
        state.ema.module.load_state_dict(stored["ema"])
        state.step, state.seconds = stored["step"], stored["seconds"]
        state.figures = stored["figures"]
        state.log = [Row(**row) for row in stored["log"]]
    except FileNotFoundError:
        raise CheckpointError(f"{name}: not there: nothing to go on from") from None
    except pickle.UnpicklingError:
        raise CheckpointError(f"{name}: refused: reading it could run code") from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{name}: damaged ({_first_line(error)})") from None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]

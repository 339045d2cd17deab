"""generate train: a manifest to a generator of faces of its kinds."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.utils.model_ema import ModelEmaV3
from torch import nn
from torch.nn import functional

from facecheck.core.errors import TrainingError, UsageError
from facecheck.core.files import atomic_path, path_text, sha256_file, write_text
from facecheck.core.journal import write_json_lines
from facecheck.core.jsonable import parse_json
from facecheck.core.labels import KINDS
from facecheck.core.manifest import Manifest
from facecheck.core.parallel import Progress, silent
from facecheck.core.version import VERSION
from facecheck.core.workspace import STATE, find_manifest, new_run_folder, not_a_run
from facecheck.generator.checkpoint import GENERATOR, Header, save_generator
from facecheck.generator.diffaugment import diffaugment
from facecheck.generator.images import RealImages, real_records
from facecheck.generator.networks import Discriminator
from facecheck.generator.options import GenerateTrainOptions, GeneratorSettings
from facecheck.generator.pictures import grid, to_pixels
from facecheck.generator.rng import noise_for, rng_for
from facecheck.generator.state import Row, State
from facecheck.model.device import choose_device
from facecheck.training.dataset import epoch_batches

#: Where neither steps nor minutes are given.
DEFAULT_STEPS = 10_000
#: The log has a row for so many steps.
LOG_EVERY = 100
#: A sample grid has so many images in a row, and so many rows of each kind.
_ACROSS, _ROWS = 8, 4


@dataclass(frozen=True)
class GenerateTrainResult:
    """What ``generate train`` did.

    Attributes:
        run: the run folder: ``run.json``, ``log.jsonl``, sample grids, the checkpoint, and the
            state from which the training can be resumed.
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


def read_run(run: Path) -> tuple[Path, GeneratorSettings]:
    """Return the manifest and the settings of a run folder, to resume it.

    Raises:
        UsageError: it is no run folder of ``generate train``.
    """
    try:
        facts = parse_json((run / "run.json").read_text(encoding="utf-8"))
        stored = facts["settings"]
        settings = GeneratorSettings(**{**stored, "sources": tuple(stored["sources"])})
        return Path(facts["manifest"]["path"]), settings
    except (OSError, ValueError, KeyError, TypeError):
        example = "runs/generate-cartoon"
        raise UsageError(not_a_run(run, "facecheck generate train", example)) from None


def generate_train(
    manifest: Path | str | None = None,
    settings: GeneratorSettings = GeneratorSettings(),
    options: GenerateTrainOptions = GenerateTrainOptions(),
    *,
    progress: Progress = silent,
    on_row: Callable[[Row], None] = silent,
) -> GenerateTrainResult:
    """Train a class-conditional GAN on a manifest's ``train`` split, excluded records left out.

    The recipe of SNGAN and BigGAN (:mod:`facecheck.generator.networks`): hinge loss (Lim and Ye
    2017, "Geometric GAN"), Adam (0, 0.9) on two time scales, DiffAugment, and an average of the
    generator's weights, which is what is kept. Kinds are drawn equally often. A training that was
    interrupted resumes from its last saved step and ends with the weights of an unbroken one; one
    that has ended continues when it is given more steps or minutes.

    Args:
        manifest: a manifest by ``split``.
        settings: how to train.
        options: how long, and where the run goes, or which one is resumed (manifest and settings
            must then be its own: :func:`read_run`).
        progress: called with steps done and to do, or seconds where only minutes are given.
        on_row: called with each row of the log.

    Raises:
        UsageError: the manifest is not there, or a kind, source or device is unknown.
        ManifestError: the manifest cannot be read, or files of it are gone.
        CheckpointError: a checkpoint cannot be written, or a run cannot be resumed.
        TrainingError: too little data, a file that turns bad, or a loss that is not finite.
    """
    manifest = find_manifest(manifest)
    steps, resume = options.steps, options.resume
    if steps is None and options.minutes is None:
        steps = DEFAULT_STEPS
    seconds = math.inf if options.minutes is None else 60 * options.minutes
    target = choose_device(options.device)
    records = real_records(manifest, ["train"], kind=settings.kind, sources=settings.sources)
    found = set(records.frame["kind"])
    kinds = tuple(kind for kind in KINDS if kind in found)
    images = RealImages(records, kinds, settings.size)
    header = Header(
        *(kinds, settings.size, settings.width, settings.latent),
        sources=_pairs(records),
        manifest_sha256=sha256_file(manifest),
    )
    # As JSON has it: what is read back must be equal.
    identity = {
        "settings": json.loads(json.dumps(asdict(settings))),
        "manifest_sha256": header.manifest_sha256,
    }
    state = _first_state(header, settings, target)
    if resume is not None:
        run = resume
        state.load(run / STATE, identity, target)
    else:

        def begin(folder: Path) -> None:
            _write_run(folder, manifest, settings, header, target)
            _keep(state, folder, header, identity)

        run = new_run_folder(options.name or f"generate-{settings.kind}", options.runs, begin)
    shown = _shown(header, settings.seed, target)
    saved_at = tick = time.monotonic()
    for batch in _batches(images, settings, state.step):
        if state.step >= (steps or math.inf) or state.seconds >= seconds:
            break
        real = _real(images, batch, settings.seed, state.step).to(target)
        labels = torch.from_numpy(images.kinds[batch]).to(target)
        figures = _step(state, real, labels, settings)
        state.step += 1
        _require_finite(figures, state.step, settings, run)
        now = time.monotonic()
        state.seconds, tick = state.seconds + now - tick, now
        state.figures.append([*figures, float(len(batch))])
        if state.step % LOG_EVERY == 0:
            on_row(_add_row(state))
        if state.step % options.grid_every == 0:
            _draw(state, shown, run / f"grid-{state.step:06}.png")
        if now - saved_at > options.save_every:
            _keep(state, run, header, identity)
            saved_at = now
        progress(*((state.step, steps) if steps else (int(state.seconds), int(seconds))))
    _keep(state, run, header, identity)
    _draw(state, shown, run / "grid.png")
    return GenerateTrainResult(
        run=run,
        checkpoint=run / GENERATOR,
        kinds=kinds,
        images={kind: int((images.kinds == place).sum()) for place, kind in enumerate(kinds)},
        size=settings.size,
        steps=state.step,
        seconds=round(state.seconds, 1),
        device=str(target),
        log=tuple(state.log),
    )


def _pairs(records: Manifest) -> tuple[str, ...]:
    pairs = records.frame.select("kind", "source").unique().iter_rows()
    return tuple(sorted(f"{kind}/{source}" for kind, source in pairs))


def _first_state(header: Header, settings: GeneratorSettings, device: torch.device) -> State:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        generator = header.build()
        discriminator = Discriminator(len(header.kinds), settings.size, settings.width)
    for network in (generator, discriminator):
        network.to(device).to(memory_format=torch.channels_last)
    return State(
        generator,
        discriminator,
        ModelEmaV3(generator, decay=settings.ema, use_warmup=True),
        _adam(generator, settings.lr_generator),
        _adam(discriminator, settings.lr_discriminator),
    )


def _adam(network: nn.Module, lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), lr, betas=(0.0, 0.9))


def _batches(images: RealImages, settings: GeneratorSettings, done: int) -> Iterator[list[int]]:
    """Yield each step's positions from step ``done`` on, without end; kinds equally often."""
    count = len(images.kinds)
    size = min(settings.batch_size, count)
    epoch, first = divmod(done, -(-count // size))
    while True:
        yield from epoch_batches(count, size, settings.seed, epoch, groups=images.kinds)[first:]
        epoch, first = epoch + 1, 0


def _real(images: RealImages, batch: Sequence[int], seed: int, step: int) -> torch.Tensor:
    """Return real images, shape (N, 3, size, size), -1 to 1, every other one mirrored by lot."""
    pixels = images.pixels(batch)
    mirrored = np.random.default_rng([seed, step]).random(len(batch)) < 0.5
    pixels[mirrored] = pixels[mirrored, :, ::-1]
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127.5) / 127.5


def _step(
    state: State, real: torch.Tensor, kinds: torch.Tensor, settings: GeneratorSettings
) -> list[float]:
    """Let both networks learn once.

    Returns:
        the generator's loss, the discriminator's, and its mean scores of real and of generated
        images before it learned.
    """
    random = rng_for(settings.seed, state.step)
    generator, discriminator = state.generator.train(), state.discriminator.train()

    def generated() -> torch.Tensor:
        noise = torch.randn(len(kinds), settings.latent, generator=random)
        images: torch.Tensor = generator(noise.to(real.device), kinds)
        return images

    discriminator.requires_grad_(True)
    with torch.no_grad():
        fake = generated()
    both = diffaugment(torch.cat([real, fake]), random)
    real_score, fake_score = discriminator(both, kinds.repeat(2)).chunk(2)
    discriminator_loss = (
        functional.relu(1 - real_score).mean() + functional.relu(1 + fake_score).mean()
    )
    _learn(state.discriminator_optimiser, discriminator_loss)
    discriminator.requires_grad_(False)  # spares the gradients of its weights
    loss = -discriminator(diffaugment(generated(), random), kinds).mean()
    _learn(state.generator_optimiser, loss)
    state.ema.update(generator, state.step + 1)
    figures: list[float] = torch.stack(
        [loss, discriminator_loss, real_score.mean(), fake_score.mean()]
    ).tolist()
    return figures


def _learn(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def _require_finite(
    figures: Sequence[float], step: int, settings: GeneratorSettings, run: Path
) -> None:
    if not all(map(math.isfinite, figures)):
        raise TrainingError(
            f"a loss is not finite at step {step} (generator {figures[0]}, discriminator "
            f"{figures[1]}): lower --lr-generator (now {settings.lr_generator:g}) and "
            f"--lr-discriminator (now {settings.lr_discriminator:g}); what was saved before is in "
            f"{path_text(run)}"
        )


def _add_row(state: State) -> Row:
    *means, _ = (round(float(mean), 4) for mean in np.mean(state.figures, axis=0))
    seen = sum(int(figures[-1]) for figures in state.figures)
    row = Row(
        *(state.step, seen + (state.log[-1].images if state.log else 0), round(state.seconds, 1)),
        *means,
    )
    state.log.append(row)
    state.figures.clear()
    return row


def _keep(state: State, run: Path, header: Header, identity: Mapping[str, Any]) -> None:
    save_generator(state.ema.module, replace(header, steps=state.step), run / GENERATOR)
    write_json_lines(run / "log.jsonl", map(asdict, state.log))
    state.save(run / STATE, identity)


def _shown(header: Header, seed: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return noise and kinds of the images that every sample grid shows."""
    kinds = torch.arange(len(header.kinds)).repeat_interleave(_ROWS * _ACROSS)
    return noise_for(seed, range(len(kinds)), header.latent).to(device), kinds.to(device)


def _draw(state: State, shown: tuple[torch.Tensor, torch.Tensor], path: Path) -> None:
    with torch.inference_mode():
        pixels = to_pixels(state.ema.module(*shown))
    with atomic_path(path) as temporary:
        grid(pixels, across=_ACROSS).save(temporary, format="PNG")


def _write_run(
    run: Path, manifest: Path, settings: GeneratorSettings, header: Header, device: torch.device
) -> None:
    facts = {
        "facecheck": VERSION,
        "torch": torch.__version__,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "settings": asdict(settings),
        "kinds": list(header.kinds),
        "sources": list(header.sources),
        "manifest": {"path": path_text(manifest.absolute()), "sha256": header.manifest_sha256},
    }
    write_text(run / "run.json", json.dumps(facts, indent=2) + "\n")

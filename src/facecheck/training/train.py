"""train: a manifest and a recipe to a run folder with checkpoints and a log."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import timm
import torch

from facecheck.core.errors import TrainingError, UsageError
from facecheck.core.files import path_text, sha256_file, write_text
from facecheck.core.install import extra_hint
from facecheck.core.journal import write_json_lines
from facecheck.core.jsonable import parse_json
from facecheck.core.manifest import Manifest
from facecheck.core.parallel import Progress, cpu_count, silent
from facecheck.core.version import VERSION
from facecheck.core.workspace import (
    BEST,
    LAST,
    STATE,
    find_checkpoint,
    find_manifest,
    new_run_folder,
    not_a_run,
)
from facecheck.core.yaml_files import dump_yaml
from facecheck.model.backbones import check_arch
from facecheck.model.checkpoint import Checkpoint, Header, save_checkpoint
from facecheck.model.device import choose_device
from facecheck.model.metrics import Summary, summarise
from facecheck.model.precision import Compiled, Name
from facecheck.model.torch_predictor import TorchPredictor
from facecheck.training.dataset import (
    epoch_batches,
    epoch_loader,
    started_ahead,
    training_images,
)
from facecheck.training.decoded import DecodedImages
from facecheck.training.distributed import Ranks, join_ranks
from facecheck.training.feature_cache import CachePlan
from facecheck.training.optim import rate_factor, set_rate
from facecheck.training.options import TrainOptions
from facecheck.training.recipe import Recipe, as_recipe, load_recipe
from facecheck.training.result import TrainResult
from facecheck.training.state import Epoch, Tally, TrainingState, best_of, epoch_row, figures_of
from facecheck.training.step import TrainSetup, first_state, for_computing, learn, make_setup
from facecheck.training.teacher import teacher_probabilities
from facecheck.training.train_head import train_head
from facecheck.training.training_data import TrainingData, training_data, unreadable

#: On a GPU the loss is checked every so many steps: each check waits for the GPU.
CHECK_EVERY = 20
#: Share of the free memory that decoded images may take.
CACHE_SHARE = 0.5


def read_run(run: Path) -> tuple[Path, Recipe]:
    """Return the manifest and the recipe of a run folder, to resume it.

    Raises:
        UsageError: it is no run folder.
        ConfigError: its recipe cannot be read.
    """
    try:
        facts = parse_json((run / "run.json").read_text(encoding="utf-8"))
        found = Path(facts["manifest"]["path"]), load_recipe(run / "recipe.yaml")
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(not_a_run(run, "facecheck train", "runs/seresnet50")) from None
    if (run / LAST).is_file() and not (run / STATE).is_file():
        raise UsageError(
            f"{path_text(run)} is finished: train on from it with --weights {path_text(run / LAST)}"
        )
    return found


def _precision_of(run: Path, device: torch.device) -> Name | None:
    """Return what a run computes in; None where nobody knows, or on another kind of device."""
    try:
        facts = parse_json((run / "run.json").read_text(encoding="utf-8"))
        name: Name = facts["precision"]["name"]
        return name if torch.device(facts["device"]).type == device.type else None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None


def train(  # noqa: PLR0912
    manifest: Path | str | None = None,
    recipe: Recipe | Path | str = Recipe(),
    options: TrainOptions = TrainOptions(),
    *,
    progress: Progress = silent,
    on_epoch: Callable[[Epoch], None] = silent,
    on_plan: Callable[[CachePlan], None] = silent,
) -> TrainResult:
    """Train a classifier of kinds on a manifest's ``train`` split, validated on its ``val`` split.

    A run never writes to an older run's folder: a name that is taken gets a number. A training
    that was interrupted, even by ``kill -9``, resumes from its last saved step and ends with the
    weights of an unbroken one. Under ``torchrun`` the processes share each batch.

    Args:
        manifest: a manifest by ``split``.
        recipe: how to train.
        options: where the run goes, or which one is resumed (manifest and recipe must then be its
            own: :func:`read_run`), and on what it is trained.
        progress: called with images trained on and to train on, over all epochs.
        on_epoch: called with each finished epoch.
        on_plan: of a head alone, called with the features to compute, before they are.

    Raises:
        UsageError: the manifest is not there, or the architecture, a source or device is unknown.
        ManifestError: the manifest cannot be read, or files of it are gone.
        CheckpointError: initial weights cannot be had, a checkpoint cannot be written, or a run
            cannot be resumed.
        TrainingError: the extra ``tensorboard`` is missing, too little data, a file that turns
            bad, a loss that is not finite, or a batch that the device has no memory for.
    """
    manifest, recipe = find_manifest(manifest), as_recipe(recipe)
    if recipe.teacher is not None:
        find_checkpoint(recipe.teacher)  # before anything is downloaded or computed
    if recipe.encoder is not None or recipe.freeze:
        return train_head(
            *(manifest, recipe, options), progress=progress, on_epoch=on_epoch, on_plan=on_plan
        )
    check_arch(recipe.arch)
    if options.tensorboard and find_spec("tensorboard") is None:
        raise TrainingError(extra_hint("--tensorboard", "tensorboard"))
    workers = cpu_count() if options.workers is None else options.workers
    target, resume = choose_device(options.device), options.resume
    repeatable = torch.backends.cudnn.flags(deterministic=True, benchmark=False)
    with repeatable, join_ranks(target) as ranks, ExitStack() as until_the_end:
        if target.type == "cuda" and ranks.world > 1:
            target = torch.device("cuda", ranks.local)
            torch.cuda.set_device(target)
        data = training_data(manifest, recipe)
        ahead = until_the_end.enter_context(
            closing(started_ahead(len(data.train) // ranks.world, workers))
        )
        chosen = None if resume is None else _precision_of(resume, target)
        setup = make_setup(recipe, data.kinds, target, ranks, precision_of_run=chosen)
        recipe, network, transform = setup.recipe, setup.network, setup.transform
        if ranks.world > 1 and int(recipe.batch_size) < 4 * ranks.world:
            raise UsageError(
                f"a batch of {recipe.batch_size} images is too small for {ranks.world} processes: "
                f"pass --batch-size {4 * ranks.world} or more"
            )
        header = Header(
            recipe.arch,
            data.kinds,
            transform,
            recipe=recipe.jsonable(),
            manifest_sha256=sha256_file(manifest),
            trained_on=data.sources,
        )
        taught = None
        if recipe.teacher is not None:
            taught = teacher_probabilities(
                *(recipe.teacher, data.train, data.kinds, options.features),
                device=target,
                workers=options.workers,
                progress=progress,
                on_plan=on_plan,
            )
        decoded = None
        if options.cache:
            count, memory = len(data.train), _cache_memory(ranks)
            decoded = DecodedImages(count, transform.resize, memory, ranks)
        images = training_images(data, transform, recipe, taught=taught, decoded=decoded)
        state = first_state(setup)
        identity = {
            "recipe": recipe.jsonable(),
            "manifest_sha256": header.manifest_sha256,
            "kinds": list(data.kinds),
        }
        batch_size = int(recipe.batch_size)
        total = recipe.epochs * len(images)
        steps_per_epoch = len(epoch_batches(len(images), batch_size, recipe.seed, 1))
        steps = max(2, recipe.epochs * steps_per_epoch)
        eval_on = {"val": data.val, **({"test": data.test} if options.log_test else {})}
        computing = for_computing(setup, ranks, options.compile_model, steps)
        if resume is not None:
            run = resume
            state.load(run / STATE, identity, target)
        else:

            def begin(folder: Path) -> None:
                _write_run(folder, header, manifest, setup, computing, ranks)
                state.save(folder / STATE, identity)

            name = options.name or recipe.arch
            run = Path(ranks.share(str(_new_run(ranks, name, options.runs, begin))))
        model = computing.forward
        saved_at = time.monotonic()
        while state.epoch <= recipe.epochs and not _out_of_patience(state.log, recipe):
            start, first_step = time.perf_counter(), state.step
            batches = epoch_batches(
                *(len(images), batch_size, recipe.seed, state.epoch),
                groups=data.groups,
                shares=data.shares,
            )
            total_weights = [float(images.weights[batch].sum()) for batch in batches]
            mine = [batch[ranks.rank :: ranks.world] for batch in batches[first_step:]]
            network.train()
            unseen: list[torch.Tensor] = []
            for batch in epoch_loader(*(images, mine, state.epoch), workers=workers, ahead=ahead):
                # Dropout and the like draw by the step's number, so that a resumed training draws
                # what an unbroken one would.
                torch.manual_seed(_step_seed(recipe.seed, state.updates, ranks.rank))
                set_rate(state.optimiser, rate_factor(recipe.schedule, state.updates, steps))
                weight = total_weights[state.step] / ranks.world
                unseen.append(learn(model, state, batch, weight, setup))
                state.step += 1
                state.updates += 1
                is_last = state.step == len(batches)
                if target.type == "cpu" or len(unseen) == CHECK_EVERY or is_last:
                    _require_finite(unseen, state, len(batches), recipe, run)
                    unseen.clear()
                progress((state.epoch - 1) * len(images) + state.seen.count * ranks.world, total)
                is_due = (
                    not is_last and not unseen and time.monotonic() - saved_at > options.save_every
                )
                if _agreed(is_due, state, ranks):
                    _save_state(state, run, identity, ranks)
                    saved_at = time.monotonic()
            trained = time.perf_counter() - start
            fresh = sum(map(len, batches[first_step:]))
            header = replace(header, epoch=state.epoch)
            checkpoint = Checkpoint(state.eval_model, header)
            evaluated = {
                split: _evaluate(checkpoint, records, data, target, options.workers, ranks)
                for split, records in eval_on.items()
            }
            trained_on = _gathered(state.seen, ranks).summary()
            row = epoch_row(
                state.epoch,
                time.perf_counter() - start,
                fresh / trained,
                float(state.optimiser.param_groups[0]["lr"]),
                *(trained_on.loss, trained_on.top1, trained_on.top5),
                evaluated,
            )
            state.log.append(row)
            header = replace(header, metrics=figures_of(row))
            state.epoch, state.step, state.seen = state.epoch + 1, 0, Tally()
            if ranks.is_first:
                save_checkpoint(state.eval_model, header, run / LAST)
                if best_of(state.log) == row.epoch:
                    save_checkpoint(state.eval_model, header, run / BEST)
                _write_log(run, state.log)
                if options.tensorboard:
                    _write_tensorboard(run, row)
                state.save(run / STATE, identity)
                on_epoch(row)
            saved_at = time.monotonic()
        if ranks.is_first:
            (run / STATE).unlink()  # no longer needed: checkpoints and log are what is kept
        return TrainResult(
            run=run,
            best=run / BEST,
            last=run / LAST,
            kinds=data.kinds,
            weights=setup.weights,
            device=f"{target}, {setup.precision.name}",
            train_images=len(data.train),
            val_images=len(data.val),
            epochs=tuple(state.log),
            best_epoch=best_of(state.log),
            stopped_early=len(state.log) < recipe.epochs,
        )


def _cache_memory(ranks: Ranks) -> int:
    return int(CACHE_SHARE * psutil.virtual_memory().available / ranks.local_world)


def _new_run(ranks: Ranks, name: str, runs: Path, begin: Callable[[Path], None]) -> Path | None:
    return new_run_folder(name, runs, begin) if ranks.is_first else None


def _step_seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


def _require_finite(
    found: Sequence[torch.Tensor], state: TrainingState, steps: int, recipe: Recipe, run: Path
) -> None:
    values = torch.stack(list(found)).tolist()
    bad = next((place for place, value in enumerate(values) if not math.isfinite(value)), None)
    if bad is not None:
        raise TrainingError(
            f"the loss is {values[bad]} at epoch {state.epoch}, step "
            f"{state.step - len(values) + bad + 1} of {steps}: lower --lr (now {recipe.lr:g}), or "
            f"limit the gradient with --clip 1; earlier checkpoints are in {path_text(run)}"
        )


def _out_of_patience(log: Sequence[Epoch], recipe: Recipe) -> bool:
    best = best_of(list(log))
    return bool(recipe.patience) and len(log) - best >= recipe.patience and bool(log)


def _gathered(seen: Tally, ranks: Ranks) -> Tally:
    """Return the tally of all processes."""
    if ranks.world == 1:
        return seen
    whole = Tally()
    for part in ranks.gather(seen.tensors()):
        whole.add(*part)
    return whole


def _agreed(is_due: bool, state: TrainingState, ranks: Ranks) -> bool:
    """Return the first process's answer; several processes are asked every so many steps only."""
    if ranks.world == 1:
        return is_due
    return state.step % CHECK_EVERY == 0 and bool(ranks.share(is_due))


def _save_state(state: TrainingState, run: Path, identity: Mapping[str, Any], ranks: Ranks) -> None:
    whole = _gathered(state.seen, ranks)
    if ranks.is_first:
        replace(state, seen=whole).save(run / STATE, identity)


def _evaluate(
    checkpoint: Checkpoint,
    records: Manifest,
    data: TrainingData,
    device: torch.device,
    workers: int | None,
    ranks: Ranks,
) -> Summary | None:
    """Summarise a checkpoint on some records, each process taking its share of them."""
    if not len(records):
        return None
    rows = []
    predictor = TorchPredictor(checkpoint, device)
    mine = records.paths()[ranks.rank :: ranks.world]
    for prediction in predictor.file_outputs(mine, workers=workers or cpu_count()):
        if prediction.logits is None:
            raise unreadable(prediction.path, prediction.message)
        rows.append(prediction.logits)
    table = np.empty((len(records), len(data.kinds)))
    for rank, part in enumerate(ranks.gather(rows)):
        table[rank :: ranks.world] = part
    return summarise(table, np.array(data.labels(records)))


def _write_log(run: Path, log: Sequence[Epoch]) -> None:
    write_json_lines(run / "log.jsonl", map(asdict, log))


def _write_tensorboard(run: Path, row: Epoch) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(run)) as writer:
        for name, value in asdict(row).items():
            if name != "epoch" and value is not None:
                part, _, figure = name.partition("_")
                tag = f"{figure}/{part}" if part in {"train", "val", "test"} else name
                writer.add_scalar(tag, value, row.epoch)


def _write_run(
    run: Path, header: Header, manifest: Path, setup: TrainSetup, computing: Compiled, ranks: Ranks
) -> None:
    """Write how the run was made, so that it can be repeated."""
    write_text(run / "recipe.yaml", dump_yaml(setup.recipe.jsonable()))
    on_gpu = setup.device.type == "cuda"
    facts: Mapping[str, Any] = {
        "facecheck": VERSION,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "machine": f"{platform.machine()} {platform.system()}, {cpu_count()} cores",
        "device": str(setup.device),
        "gpu": torch.cuda.get_device_name(setup.device) if on_gpu else None,
        "processes": ranks.world,
        "threads": torch.get_num_threads(),
        "precision": asdict(setup.precision),
        "compiling": computing.reason,
        "weights": setup.weights,
        "kinds": list(header.kinds),
        "manifest": {"path": path_text(manifest), "sha256": header.manifest_sha256},
    }
    write_text(run / "run.json", json.dumps(facts, indent=2) + "\n")

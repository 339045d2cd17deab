"""Every help screen: its examples run, its words are of one style, and it fits the terminal."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from facecheck import cli
from facecheck.cli import app
from facecheck.cli.commands import AllCommands, GenerateCommands, KnownCommands, Unloaded
from facecheck.cli.settings import all_commands
from tests.cli.test_commands import QUICK, one_line
from tests.conftest import Outcome

Run = Callable[..., Outcome]

GROUP: Any = get_command(app)
COMMANDS = dict(all_commands(GROUP))
GROUPS: dict[str, Any] = {
    name: item for name, item in GROUP.commands.items() if getattr(item, "commands", None)
}
EVERY = {"": GROUP, **GROUPS, **COMMANDS}
EXAMPLES = [line for command in EVERY.values() for line in command.examples]

#: Examples that train, or that only Ctrl-C ends: what they say in an empty folder, where all their
#: options have been read and only what they work on is missing.
COSTLY = {
    "facecheck benchmark-model --recipe": "no manifest at data/manifest.csv",
    "facecheck benchmark-model runs": "no checkpoint at runs/resnet50",
    "facecheck generate quality": "no generator",
    "facecheck generate sample": "no generator",
    "facecheck generate train --kind": "no manifest at data/manifest.csv",
    "facecheck generate train --resume": "generate-cartoon",
    "facecheck leave-out": "no manifest at data/manifest.csv",
    "facecheck lr-find": "no manifest at data/manifest.csv",
    "facecheck serve": "no folder and no results at",
    "facecheck study": "no manifest at data/manifest.csv",
    "facecheck train": "no manifest at data/manifest.csv",
}
#: Examples of what needs the network: only that they can be read is tested.
REMOTE = ("facecheck fetch cufs",)
#: What is not there yet when an example is run.
NOT_YET = {
    "facecheck fetch --from": "data",
    "facecheck index data/raw": "data/manifest.csv",
    "facecheck scan": "results.csv",
}


def is_in(example: str, table: Any) -> str | None:
    return next((start for start in table if example.startswith(start)), None)


@pytest.mark.parametrize("words", EVERY)
def test_every_help_screen_ends_with_two_examples(words: str) -> None:
    examples = EVERY[words].examples
    assert len(examples) == 2, (
        f"end the docstring of `facecheck {words}` with a line `Examples:` and below it two "
        "command lines; tests/cli/test_help.py runs them"
    )
    name = "" if words in GROUPS else words
    assert any(line.startswith(f"facecheck {name}") for line in examples)
    assert all(line.startswith("facecheck ") for line in examples)


def test_the_list_of_commands_says_of_each_what_its_own_help_says_first() -> None:
    """The list is written in cli/commands.py, so that no command is imported to show it."""
    for group in (GROUP, *GROUPS.values()):
        listed = [each for each in group.commands.values() if isinstance(each, Unloaded)]
        assert listed
        for each in listed:
            assert each.help == (each.loaded.help or "").split("\n\n")[0], each.name


def test_every_command_is_in_the_list() -> None:
    functions = {
        (module.stem, node.name.replace("_", "-"))
        for module in Path(cli.__path__[0]).glob("*.py")
        for node in ast.parse(module.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
        and "takes_options" in {ast.unparse(each) for each in node.decorator_list}
    }
    tables = (AllCommands.table, GenerateCommands.table, KnownCommands.table)
    listed = [(module, name) for table in tables for name, (module, _) in table.items()]
    assert sorted(listed) == sorted(functions)


def test_the_tables_of_this_test_name_examples_that_there_are() -> None:
    for start in (*COSTLY, *REMOTE):
        assert any(line.startswith(start) for line in EXAMPLES), start


@pytest.mark.slow
@pytest.mark.parametrize(
    "example", [line for line in EXAMPLES if not is_in(line, COSTLY) and not is_in(line, REMOTE)]
)
def test_every_cheap_example_does_what_it_says(
    command: Run, workspace: Path, tmp_path: Path, example: str
) -> None:
    shutil.copytree(workspace, tmp_path, dirs_exist_ok=True)
    for meta in tmp_path.glob("*.meta.json"):  # as if it had been scanned here
        meta.write_text(meta.read_text().replace(str(workspace), str(tmp_path)))
    if gone := is_in(example, NOT_YET):
        shutil.move(tmp_path / NOT_YET[gone], tmp_path / "elsewhere")
    done = command(*shlex.split(example)[1:])
    assert done.code == 0, (
        f"{done.err}If the example needs more than the folder of this test has, add that to "
        "`workspace`; if it trains or downloads, add it to COSTLY or REMOTE"
    )


@pytest.mark.parametrize("example", [line for line in EXAMPLES if is_in(line, COSTLY)])
def test_a_costly_example_lacks_only_what_it_works_on(command: Run, example: str) -> None:
    done = command(*shlex.split(example)[1:])
    assert done.code in (1, 2)
    assert COSTLY[is_in(example, COSTLY) or ""] in one_line(done)


@pytest.mark.parametrize("example", [line for line in EXAMPLES if is_in(line, REMOTE)])
def test_a_remote_example_can_be_read(command: Run, example: str) -> None:
    assert command(*shlex.split(example)[1:], "--dry-run").code == 0


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("words", EVERY)
def test_help_is_plain_and_fits(
    command: Run, monkeypatch: pytest.MonkeyPatch, words: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    shown = command(*words.split(), "--help").out
    body = shown.split("\nExamples:\n")[0]  # they are never broken: they are there to be copied
    assert max(map(len, body.splitlines())) <= width
    for odd in ("<class '", "env var", "FACECHECK_VERSION", "<path>", "<int", "{", "╭", "range]"):
        assert odd not in body.replace("{epochs: 5}", ""), odd
    assert not re.search(r"\[default: \(", body)
    assert command("help", *words.split()).out == shown


def test_choices_are_shown_as_choices(command: Run) -> None:
    shown = {
        "scan": ("--device auto|cuda|mps|cpu", "--split train|val|test", "--faces auto|off"),
        "convert": ("--layout ", "--link "),
        "train": ("--crop random|resized|centre|five", "--batch-size N|auto"),
        "evaluate": ("--split train|val|test",),
        "export": ("--format onnx|torchscript|openvino|litert",),
        "dedup": ("--level bytes|pixels|picture|edited"),
    }
    for words, choices in shown.items():
        text = command("help", words).out
        for choice in choices:
            assert choice in text, (words, choice)
    assert re.search(r"--layout \w+\|\w+", command("help", "convert").out)
    assert re.search(r"--link \w+\|\w+", command("help", "convert").out)


def test_the_help_of_train_is_in_groups(command: Run) -> None:
    headings = re.findall(r"^(\w[\w ]+):$", command("help", "train").out, re.MULTILINE)
    assert headings == [
        *("Options", "Model", "Head on an encoder", "Data", "Training", "Optimiser"),
        *("Augmentation", "Examples"),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scna"], "no command 'scna'; did you mean 'scan'?"),
        (["help", "trian"], "no command 'trian'; did you mean 'train'?"),
        (["generate", "smaple"], "no command 'smaple'; did you mean 'sample'?"),
        (["xyzzy"], "no command 'xyzzy': there are sources, fetch,"),
        (["--verison"], "no option --verison; did you mean '--version'?"),
        (["train", "--epcohs", "3"], "no option --epcohs; did you mean '--epochs'?"),
        (["train", "--epochs", "five"], "--epochs: 'five' is not a whole number"),
        (["train", "--lr=high"], "--lr: 'high' is not a number"),
        (["train", "--rescale-to", "1", "x"], "--rescale-to: '1 x' is not 2 numbers"),
        (["train", "--rescale-to", "1"], "--rescale-to needs 2 values"),
        (["train", "--epochs", "0"], "--epochs 0: must be 1 or more"),
        (["train", "--image-size", "3"], "--image-size 3: must be 16 to 4096"),
        (["train", "--optimizer", "adamax"], "--optimiser 'adamax': must be one of adam, adamw,"),
        (["train", "--crop", "middle"], "--crop 'middle': must be one of random, resized, centre"),
        (["scan", "--out"], "--out needs a value"),
        (["scan", "--per-face=yes"], "--per-face takes no value"),
        (["explain"], "missing argument IMAGE"),
        (["--config", "nothing.yaml", "split"], "--config: no file at nothing.yaml"),
        (["scan"], "nothing to scan"),
        (["generate", "sample"], "missing option --out"),
        (["split", "a.csv", "b.csv"], "unexpected argument b.csv"),
        (["split", "--ratio", "80", "10", "10"], "such as --ratio 80:10:10"),
        (["export", "--format", "tflite"], "did you mean 'litert'?"),
    ],
)
def test_wrong_usage_is_one_line(command: Run, arguments: list[str], said: str) -> None:
    done = command(*arguments)
    assert done.code == 2
    assert said in one_line(done)


@pytest.mark.parametrize(
    ("content", "variable", "said"),
    [
        ("train: {epochs: five}", "", "facecheck.yaml: train: epochs: 'five' is not a whole num"),
        ("train: {epochs: 0}", "", "facecheck.yaml: train: epochs 0: must be 1 or more"),
        ("train: {optimizer: sdg}", "", "facecheck.yaml: train: optimiser 'sdg': must be one of"),
        ("", "FACECHECK_TRAIN_EPOCHS=five", "FACECHECK_TRAIN_EPOCHS: 'five' is not a whole number"),
        ("", "FACECHECK_TRAIN_EPOCHS=0", "FACECHECK_TRAIN_EPOCHS 0: must be 1 or more"),
    ],
)
def test_a_wrong_value_is_named_where_it_was_set(
    command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    content: str, variable: str, said: str,
) -> None:  # fmt: skip
    (tmp_path / "facecheck.yaml").write_text(content)
    if variable:
        monkeypatch.setenv(*variable.split("="))
    assert said in one_line(command("train"))


def test_british_and_american_spellings_are_understood(
    command: Run, tmp_path: Path, workspace: Path
) -> None:
    shutil.copytree(workspace / "data", tmp_path / "data")
    (tmp_path / "facecheck.yaml").write_text("train: {optimizer: sgd}\n")
    (tmp_path / "own.yaml").write_text("crop: center\n")
    done = command(
        *("train", "--recipe", "own.yaml", "--gray", "0.5", "--epochs", "1", "--json"),
        *QUICK[: QUICK.index("--epochs")],
        *("--device", "cpu", "--workers", "0"),
    )
    assert done.code == 0, done.err
    recipe = (tmp_path / "runs" / "resnet10t" / "recipe.yaml").read_text()
    assert "optimiser: sgd" in recipe
    assert "crop: centre" in recipe
    assert "grey: 0.5" in recipe
    assert "no study 'augmentaton'; did you mean" in one_line(command("study", "augmentaton"))

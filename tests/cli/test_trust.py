"""What a project file may set: consent never, and places only where the user names the file."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from facecheck.cli import app
from facecheck.cli.flags import trust_of
from facecheck.cli.settings import all_commands, by_flag
from facecheck.core.options import Trust
from tests.conftest import Outcome

#: Options that name a file or folder which is read, and to which nothing is written.
READ = {
    *("audit", "benchmark", "catalog", "check", "checkpoint", "explain", "face-detector"),
    *("encoder", "from", "labels", "left-out", "manifest", "protect", "teacher", "weights"),
}


def options() -> dict[tuple[str, str], tuple[Trust, bool]]:
    """Return of each command's options who may set it, and whether it names a path."""
    found = {}
    for words, command in all_commands(typer.main.get_command(app)):
        trust = trust_of(command.callback)
        hints = inspect.signature(command.callback, eval_str=True).parameters
        for flag, parameter in by_flag(command).items():
            name = parameter.name
            hint = str(hints[name].annotation)
            found[words, flag] = (trust.get(name, Trust.ANY), "Path" in hint.partition("<typer")[0])
    return found


def test_no_file_gives_consent() -> None:
    consents = {key for key in options() if key[1] in {"yes", "overwrite"}}
    assert {("scan", "yes"), ("dedup", "yes"), ("index", "overwrite")} <= consents
    assert {options()[key][0] for key in consents} == {Trust.NO_FILE}


def test_every_option_that_names_a_path_is_known_to_be_read_or_written() -> None:
    paths = {key: trust for key, (trust, names_path) in options().items() if names_path}
    assert len(paths) > 30
    unknown = {key for key, trust in paths.items() if trust is Trust.ANY and key[1] not in READ}
    assert not unknown, "say in its declaration that it is written: trust=Trust.NAMED"
    assert {paths["scan", name] for name in ("out", "move-to", "copy-to")} == {Trust.NAMED}
    assert {paths["place", "root"], paths["fetch", "root"]} == {Trust.NAMED}


@pytest.mark.parametrize(
    ("content", "option"),
    [
        ("scan: {move-to: /tmp/x, 'yes': true}", "move-to"),
        ("scan: {'yes': true, move-to: /tmp/x}", "yes"),
        ("scan: {out: precious.csv, overwrite: true}", "out"),
        ("place: {copy-to: /tmp/x}", "copy-to"),
        ("fetch: {root: /tmp/x}", "root"),
    ],
)
def test_a_found_project_file_is_refused_in_one_line(
    command: Callable[..., Outcome], tmp_path: Path, content: str, option: str
) -> None:
    (tmp_path / "facecheck.yaml").write_text(content)
    (tmp_path / "precious.csv").write_text("mine")
    done = command("scan", tmp_path)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert f"'{option}'" in done.err
    assert (tmp_path / "precious.csv").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["facecheck.yaml", "precious.csv"]

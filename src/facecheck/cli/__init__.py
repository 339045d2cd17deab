"""The command line: each command parses, calls one job, and shows its result."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer

from facecheck.cli.commands import AllCommands, GenerateCommands, KnownCommands
from facecheck.cli.flags import is_given
from facecheck.cli.help import WrongUsage, usage_line
from facecheck.cli.settings import read_defaults, refuse_unknown_variables
from facecheck.core.errors import FacecheckError, FacecheckWarning, system_failure
from facecheck.core.install import full_install_hint
from facecheck.core.text import printable
from facecheck.core.version import VERSION
from facecheck.core.workspace import PROJECT_FILE

app = typer.Typer(
    name="facecheck",
    cls=AllCommands,
    help=(
        "Tell photographs of real human faces from artificial ones, and curate the data for it.\n\n"
        "In an empty folder, in this order: fetch, split, train, scan. Each finds what the one "
        "before left; explicit paths always win. A scan needs no training: a model is included.\n\n"
        "Any option can also be set by a variable (FACECHECK_TRAIN_EPOCHS=5) or in facecheck.yaml "
        "(`train: {epochs: 5}`); flags win. `facecheck help COMMAND` explains a command.\n\n"
        "Examples:\nfacecheck scan photos --out results.csv\nfacecheck help scan"
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={
        "auto_envvar_prefix": "FACECHECK",
        "help_option_names": ["--help", "-h"],
        "max_content_width": 100,
    },
)

generating = typer.Typer(
    cls=GenerateCommands,
    rich_markup_mode=None,
    help="Make faces of a kind: train a generator, sample from it, measure how good it is.\n\n"
    "Examples:\nfacecheck generate train --kind cartoon --minutes 60\n"
    "facecheck generate sample --count 100 --out made",
    no_args_is_help=True,
)
app.add_typer(generating, name="generate")

knowing = typer.Typer(
    cls=KnownCommands,
    rich_markup_mode=None,
    help="Keep a table of files that people have decided, for `scan --known`.\n\n"
    "Examples:\nfacecheck known add confirmed-fakes --verdict artificial\n"
    "facecheck scan photos --known known.csv",
    no_args_is_help=True,
)
app.add_typer(knowing, name="known")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"facecheck {VERSION}")
        raise typer.Exit


@app.callback()
def settings(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
    config: Annotated[
        Path,
        typer.Option(metavar="PATH", help="Project file: default options for each command."),
    ] = PROJECT_FILE,
) -> None:
    """Read the project file, whose values stand behind flags and environment variables."""
    del version  # acted upon by its callback
    refuse_unknown_variables(context.command)
    if not config.is_file():
        if is_given(context, "config"):
            raise typer.BadParameter(f"no file at {config}", param_hint="--config")
        return
    context.default_map = read_defaults(config, context.command, named=is_given(context, "config"))


def _show_warning(
    otherwise: Callable[..., None], message: Warning | str, category: type[Warning], *where: Any
) -> None:
    """Show a warning of ours as one line on stderr, any other as Python does."""
    if issubclass(category, FacecheckWarning):
        sys.stderr.write(f"facecheck: warning: {printable(str(message))}\n")
    else:
        otherwise(message, category, *where)


def _use_utf8() -> None:
    """Start again in Python's UTF-8 mode where file names are read as something else.

    So the locale does not decide which files can be named; what is written to the terminal stays
    in the terminal's encoding.
    """
    if sys.getfilesystemencoding() == "utf-8" or not sys.orig_argv[0]:
        return
    if sys.stdout is not None:
        os.environ.setdefault("PYTHONIOENCODING", sys.stdout.encoding)
    # What decodes in other processes takes the mode from the environment.
    os.environ["PYTHONUTF8"] = "1"
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606


def main() -> None:
    """Run the command line; what the user can fix is one line on stderr."""
    _use_utf8()
    if sys.stderr is None:  # closed: there is nobody to say anything to
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        # What a stream cannot hold, such as é where it is ASCII, is escaped rather than fatal.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = partial(_show_warning, warnings.showwarning)
    # Pillow warns of odd tags; what counts is said of the file, in its row.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        code = app(prog_name="facecheck", standalone_mode=False)
    except WrongUsage as error:
        sys.exit(_refuse(error))
    except typer.Abort:
        sys.stderr.write("facecheck: aborted\n")
        sys.exit(1)
    except FacecheckError as error:
        sys.stderr.write(f"facecheck: {printable(str(error))}\n")
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        hint = full_install_hint(error)
        if hint is None:
            raise
        sys.stderr.write(f"facecheck: {hint}\n")
        sys.exit(1)
    except OSError as error:
        if error.errno is None:  # not the system's word: a bug
            raise
        sys.stderr.write(f"facecheck: {system_failure(error)}\n")
        sys.exit(1)
    sys.exit(code or 0)


def _refuse(error: Any) -> int:
    """Say in one line what was wrong with a command line; return the exit code."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        sys.stderr.write(f"facecheck: {printable(usage_line(error))}\n")
    return int(error.exit_code)

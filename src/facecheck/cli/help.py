"""How commands read what is typed, and what their help looks like.

The help is plain text without boxes: it fits any terminal, can be copied, and is read aloud well.
``docs/commands.md`` is the same text.
"""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from facecheck.cli.flags import is_given
from facecheck.cli.settings import by_flag, name_variables, value_given
from facecheck.core.errors import UsageError, did_you_mean
from facecheck.core.spelling import respelled

#: What Typer raises for a command line that it cannot read; it has no public name for it.
WrongUsage: type[Exception] = typer.BadParameter.__mro__[1]

#: What `--recipe` is without a name.
UNNAMED = ""
_EXAMPLES = "Examples:"
#: What Typer says of a command line, and what is said instead.
_CLEARER = {
    r"^Invalid value for '?(--[\w-]+)'?(?: / '-\w')?: (?:Value error, )?": r"\1: ",
    r"^Got unexpected extra arguments?(?:\(s\))? \((.*)\)$": r"unexpected argument \1",
    r"^Missing (argument|option) '(.*?)'.*": r"missing \1 \2",
    r"^Option '(.*)' requires an argument": r"\1 needs a value",
    r"^Option '(.*)' requires (\d+) arguments": r"\1 needs \2 values",
    r"^Option '(.*)' does not take a value": r"\1 takes no value",
}


class _Helpful:
    """What a command and a group have in common: lines under ``Examples:`` end their help.

    Attributes:
        examples: these lines.
    """

    def __init__(self, *args: Any, help: str | None = None, **kwargs: Any) -> None:  # noqa: A002
        text, _, examples = (help or "").partition(f"\n\n{_EXAMPLES}\n")
        self.examples = [line.strip() for line in examples.splitlines() if line.strip()]
        paragraphs = (" ".join(each.split()) for each in text.split("\n\n"))
        kwargs["help"] = "\n\n".join(paragraphs)
        super().__init__(*args, **kwargs)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, each on a line of its own that is never broken."""
        del ctx
        if self.examples:
            with formatter.section(_EXAMPLES.rstrip(":")):
                for line in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, each told the variable that sets it, without it in the help."""
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in parameters:
            _take_own_default(parameter)
        return name_variables(parameters, ctx.auto_envvar_prefix)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; an option may be spelled as in British or American English."""
        parameters = self.get_params(ctx)
        flags = [flag for item in parameters for flag in (*item.opts, *item.secondary_opts)]
        before = args.index("--") if "--" in args else len(args)
        spelled = [_respelled(argument, flags) for argument in args[:before]]
        left: list[str] = super().parse_args(ctx, [*spelled, *args[before:]])  # type: ignore[misc]
        return left

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return ``[OPTIONS] IMAGE [FOLDER]...``, as commands are commonly described."""
        pieces = ["[OPTIONS]"]
        for item in self.get_params(ctx):
            if item.param_type_name == "argument":
                name = _name(item) if item.required else f"[{_name(item)}]"
                pieces.append(name if item.nargs == 1 else f"{name}...")
        return pieces

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, under the headings that options are declared with."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for item in self.get_params(ctx):
            if item.hidden:
                continue
            name, text = item.get_help_record(ctx)
            text = re.sub(r"\[default: \((.*)\)", r"[default: \1", text)
            argument = item.param_type_name == "argument"
            heading = "Arguments" if argument else getattr(item, "rich_help_panel", None)
            panels.setdefault(heading or "Options", []).append(
                (_name(item) if argument else name, text)
            )
        first = [heading for heading in ("Arguments", "Options") if heading in panels]
        for heading in [*first, *(each for each in panels if each not in first)]:
            with formatter.section(heading):
                formatter.write_dl(panels[heading], col_max=34)


class Command(_Helpful, TyperCommand):
    """A command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments: `--recipe` may stand alone."""
        return super().parse_args(ctx, _with_a_name(args))

    def invoke(self, ctx: Any) -> Any:
        """Call the command; an option at fault is named as the user set it."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            for flag, parameter in by_flag(self).items():
                said = re.match(f"(--{flag}|{flag.replace('-', ' ')}) (?=\\S+:)", str(error))
                if said and is_given(ctx, parameter.name):
                    rest = str(error)[said.end() :]
                    raise type(error)(f"{value_given(ctx, parameter)[0]} {rest}") from None
            raise


class Group(_Helpful, TyperGroup):
    """Some commands; a line where Ctrl-C ends one, and ``help COMMAND``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments: ``help train`` is ``train --help``."""
        if args and args[0] == "help":
            args = [*args[1:], "--help"]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what is typed behind the group's name."""
        return [*super().collect_usage_pieces(ctx), "COMMAND ..."]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, then the options."""
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command with the first sentence of its help."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, (command.help or "").split("\n\n")[0])
                    for name in self.list_commands(ctx)
                    if (command := self.get_command(ctx, name)) and not command.hidden
                ]
            )

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is named.

        Raises:
            UsageError: there is no such command; the message names the nearest.
        """
        name = args[0] if args else ""
        names = self.list_commands(ctx)
        if name not in names:
            near = did_you_mean(name, names) or f": there are {', '.join(names)}"
            raise UsageError(f"no command {name!r}{near}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Call the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("facecheck: interrupted; what was written is kept", err=True)
            raise typer.Exit(130) from None


def usage_line(error: Any) -> str:
    """Return in one line what was wrong with a command line, and how to fix it."""
    context = error.ctx
    command = context.command_path if context else "facecheck"
    hint = f" (see `{command} --help`)"
    unknown = str(getattr(error, "option_name", ""))
    if type(error).__name__ == "NoSuchOption" and context:
        flags = [f"--{flag}" for flag in by_flag(context.command)]
        return f"no option {unknown}{did_you_mean(unknown, flags)}{hint}"
    said = " ".join(error.format_message().split()).rstrip(".")
    parameter = getattr(error, "param", None)
    if context and parameter is not None and "Missing" not in said:
        where, value = value_given(context, parameter)
        wrong = re.search(r"Input should be (an?)( valid)? (integer|number|boolean)", said)
        if wrong:
            one, some = {
                "integer": ("a whole number", "whole numbers"),
                "number": ("a number", "numbers"),
                "boolean": ("true or false", ""),
            }[wrong[3]]
            wanted = one if parameter.nargs == 1 else f"{parameter.nargs} {some}"
            return f"{where}: {value!r} is not {wanted}{hint}"
    for pattern, words in _CLEARER.items():
        said = re.sub(pattern, words, said)
    if choices := re.search(r"'(.*)' is not one of (.*)", said):
        said += did_you_mean(choices[1], re.findall(r"'(.*?)'", choices[2]))
    if re.match(r"unexpected argument [\d. ]+$", said) and "ratio" in context.params:
        said += ": write a ratio as one word, such as --ratio 80:10:10"
    return f"{said}{hint}"


def _take_own_default(parameter: Any) -> None:
    """Let a parameter take its own default as it is.

    Typer checks it as it checks what is typed, by pydantic, whose import takes as long as Typer's.
    """
    default, check, callback = parameter.default, parameter.process_value, parameter.callback
    takes_several = parameter.multiple or parameter.nargs != 1
    if "process_value" in vars(parameter) or parameter.required or takes_several:
        return

    def process_value(context: Any, value: Any) -> Any:
        if value is not default:
            return check(context, value)
        return callback(context, parameter, value) if callback else value

    parameter.process_value = process_value


def _name(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _with_a_name(arguments: list[str]) -> list[str]:
    """Return a command's arguments; a `--recipe` that no name follows is given :data:`UNNAMED`."""
    made: list[str] = []
    for word, following in zip_longest(arguments, arguments[1:], fillvalue="-"):
        alone = word == "--recipe" and following.startswith("-")
        made += [word, UNNAMED] if alone else [word]
    return made


def _respelled(argument: str, flags: list[str]) -> str:
    """Return an argument, spelled as the option that it names."""
    flag, equals, value = argument.partition("=")
    return f"{respelled(flag, flags)}{equals}{value}" if flag.startswith("--") else argument

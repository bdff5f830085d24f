"""The command `zoo`: its verbs, and what every one of them does with an error.

Nothing here or in the files of the verbs imports torch or anything of that weight at the top: `zoo --help` is a page of
text. A verb imports what it needs when it runs.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

import zoo
from zoo.cli import (
    branch,
    chat,
    config,
    data,
    describe,
    evaluate,
    export_model,
    extend,
    fill,
    generate,
    import_model,
    pretrain,
    report,
    score,
    tokenizer,
)
from zoo.cli import list as listing
from zoo.cli.arguments import examples
from zoo.cli.ctrl_c import WholeImports
from zoo.cli.failure import BROKEN_PIPE, STOPPED, exit_status, sentence
from zoo.cli.option_names import Verb
from zoo.cli.screen import note
from zoo.errors import ConfigError
from zoo.registry import unknown_name

VERBS = {
    "pretrain": pretrain,
    "extend": extend,
    "branch": branch,
    "evaluate": evaluate,
    "fill": fill,
    "generate": generate,
    "chat": chat,
    "score": score,
    "import": import_model,
    "export": export_model,
    "report": report,
    "list": listing,
    "describe": describe,
    "config": config,
    "data": data,
    "tokenizer": tokenizer,
}
"""Verbs in the order of the help page; each file has `run`, the command, and `EXAMPLES`.

A file may have a table `VERBS` of its own instead: of what stands behind its verb, for example `zoo data stats`.
"""

EXAMPLES = examples(
    "zoo list  # models and configs by name",
    "zoo pretrain bert-nano  # on text that Python brings",
    'zoo fill runs/bert-nano "a list of [MASK]"',
    "zoo pretrain gpt-nano",
    'zoo generate runs/gpt-nano "Return the"',
    "zoo evaluate runs/gpt-nano",
    "zoo pretrain gpt-nano model.positions=rotary name=gpt-nano-rotary",
    "zoo report runs/gpt-nano runs/gpt-nano-rotary  # side by side",
    "zoo pretrain --help  # what a verb takes",
)


NOT_YET = ("finetune", "sweep")
"""Verbs that people ask for and that there are not."""


class Verbs(TyperGroup):
    """The group of verbs, which names the nearest one where it is asked for one that there is not."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a verb; raises ConfigError with the legal ones."""
        if cmd_name not in self.commands:
            verb = " ".join(ctx.command_path.split()[1:])
            if not verb and cmd_name in NOT_YET:
                raise ConfigError(
                    f"zoo {cmd_name} is not there yet; README.md says what is, zoo --help lists the verbs"
                )
            raise ConfigError(unknown_name(f"verb of zoo {verb}" if verb else "verb", cmd_name, self.commands))
        return super().get_command(ctx, cmd_name)


def build_app() -> typer.Typer:
    """The command line with all its verbs."""
    # Help pages without rich: they are plain text, and take half the time.
    app = typer.Typer(cls=Verbs, rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.callback(epilog=EXAMPLES)(start)
    _add(app, VERBS)
    return app


def _add(app: typer.Typer, verbs: Mapping[str, Any]) -> None:
    for name, verb in verbs.items():
        if hasattr(verb, "VERBS"):
            group = typer.Typer(cls=Verbs, rich_markup_mode=None, add_completion=False)
            group.callback(invoke_without_command=True)(_help_without_verb)
            _add(group, verb.VERBS)
            app.add_typer(group, name=name, help=verb.HELP, epilog=verb.EXAMPLES)
        else:
            app.command(name, cls=Verb, epilog=verb.EXAMPLES)(verb.run)


def _help_without_verb(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


def start(
    version: Annotated[bool, typer.Option("--version", help="show the version", is_eager=True)] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="show the traceback of an error; legal behind a verb too")
    ] = False,
    imports: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="file.py",
            help="execute a file that registers own blocks; repeatable, legal behind a verb",
        ),
    ] = None,
) -> None:
    """Pretrain, inspect and use Transformers made of one block library: BERT, GPT, T5 and their relatives."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit status.

    Args:
        argv: the arguments behind `zoo`; None: those of the process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character gets a ? for it
    try:
        status = _guarded(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python must not find the pipe broken once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _guarded(arguments: list[str]) -> int:
    """Runs the arguments; an error becomes one line on stderr and an exit status."""
    arguments, debug = take_debug(arguments)
    with warnings.catch_warnings():
        if not debug:
            warnings.showwarning = _show_warning
        try:
            return _between_imports(arguments)
        except typer.Exit as end:
            return end.exit_code
        except BrokenPipeError:
            raise
        except (Exception, KeyboardInterrupt) as error:
            if debug:
                traceback.print_exc()
            sys.stdout.flush()
            status = exit_status(error)
            note(sentence(error) if status > STOPPED else f"error: {sentence(error)}")
            return status


def _between_imports(arguments: list[str]) -> int:
    with WholeImports(_between_imports.__code__):
        arguments, files = take_imports(arguments)
        if "--help" not in arguments:
            for file in files:
                zoo.import_blocks(file)
        return _run(arguments)


def _run(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        print(f"zoo {zoo.__version__}")
        return 0
    command = get_command(build_app())
    with command.make_context("zoo", arguments or ["--help"]) as context:
        command.invoke(context)
    return 0


def take_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments without `--debug`, and whether it was among them; what stands behind `--` is text."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept = [argument for argument in arguments[:end] if argument != "--debug"]
    return [*kept, *arguments[end:]], len(kept) < end


def take_imports(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments without `--import file` and `--import=file`, and these files; what stands behind `--` is text.

    Raises:
        ConfigError: nothing stands behind the last `--import`.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept: list[str] = []
    files: list[str] = []
    before = iter(arguments[:end])
    for argument in before:
        name, equals, file = argument.partition("=")
        if name != "--import":
            kept.append(argument)
            continue
        file = file if equals else next(before, "")
        if not file:
            raise ConfigError("--import needs a file, for example --import my_blocks.py")
        files.append(file)
    return [*kept, *arguments[end:]], files


def _show_warning(message: Warning | str, *place: Any, **more: Any) -> None:
    note(f"note: {' '.join(str(message).split())}")

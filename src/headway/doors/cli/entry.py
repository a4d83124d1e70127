"""From what was typed to an exit code: commands, errors, closed pipes, Ctrl-C."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits
from headway.errors import HeadwayError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Name to (module of this room, what --help says of it). The order is that of --help.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("run", "Carry a target out."),
    "plan": ("plan", "Say what a run would do, and why; change nothing."),
    "graph": ("graph", "Draw a target or a run."),
    "runs": ("runs", "List the runs."),
    "show": ("show", "Show how a run stands, job by job."),
    "logs": ("logs", "Show what the jobs of a run wrote."),
    "why": ("why", "Say why a job stands where it stands."),
    "resume": ("resume", "Go on with a run that was cut off or paused."),
    "retry": ("retry", "Try again what failed in a run."),
    "settle": ("settle", "Answer for a job in doubt."),
    "approve": ("approve", "Answer at a gate, where a run waits."),
    "pause": ("pause", "Have a run start nothing new for now."),
    "cancel": ("cancel", "Stop a run."),
    "cleanup": ("cleanup", "Run the Cleanups that a run left out."),
    "prune": ("prune", "Forget old runs."),
    "step": ("step", "Send one step to a worker and watch it."),
    "worker": ("worker", "Serve a worker class."),
    "workers": ("workers", "List the workers that are there."),
    "core": ("core", "Accept deployments and drive them."),
    "up": ("up", "Core, API, workers and bus in one process."),
    "monitor": ("monitor", "Record every Celery task."),
    "tasks": ("tasks", "List Celery tasks, or show one with its family."),
    "deploy": ("deploy", "Have a core carry a stored playbook out."),
    "locks": ("locks", "List who has which lock, and who waits."),
    "playbook": ("playbooks", "Check playbooks, and store them."),
    "api": ("api", "Serve the API."),
    "token": ("tokens", "Look after tokens for the API."),
    "doctor": ("doctor", "Look at bus, store, clocks, versions and limits."),
    "conform": ("conform", "Tell a worker's author what is wrong with it."),
    "db": ("database", "Look after the store."),
    "new": ("new", "Begin a file of your own."),
    "completion": ("completion", "Print what completes commands in your shell."),
}

FIRST = """\
headway plan TARGET   says what would happen, and why (TARGET: file.py, file.py:Root or package.module:Root)
headway run TARGET    makes it happen; run it again and it does only what is left
headway new job NAME  writes a first job to start from; headway --help lists all commands"""  # noqa: E501


class Commands(click.Group):
    """Commands by name, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        known = COMMANDS.get(name)
        if known is None:
            return None
        import importlib

        module = importlib.import_module(f"headway.doors.cli.{known[0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, says) for name, (_, says) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        # Not by click's own way, which imports every command for its help.
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=says)
            for name, (_, says) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return found or super().shell_complete(ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, COMMANDS, n=2)
            hint = f"Did you mean {' or '.join(near)}?" if near else "headway --help lists them."
            ctx.fail(f"there is no command {name!r}. {hint}")
        return super().resolve_command(ctx, args)


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        import headway

        click.echo(f"headway {headway.__version__}")
        ctx.exit()


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version,
    help="Show the version and leave.",
)  # fmt: skip
@click.pass_context
def headway_command(ctx: click.Context) -> int:
    """Bring things to a desired state in the right order, and see every step."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False
    if ctx.invoked_subcommand is None:
        click.echo(FIRST)
    return exits.DONE


def entered(args: Sequence[str]) -> int:
    """Carry out what was typed; the exit code. Every error ends here as one message."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        # A character that the terminal cannot show is no reason to stop.
        reconfigure = getattr(getattr(sys, name), "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        code = _carried_out(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _forget_output()
        return exits.DONE


def _carried_out(args: Sequence[str]) -> int:
    debug = "--debug" in args
    try:
        code = headway_command.main(args, prog_name="headway", standalone_mode=False)
        return code if isinstance(code, int) else exits.DONE
    except click.ClickException as error:
        return _mistyped(error)
    except (click.Abort, KeyboardInterrupt):
        return exits.INTERRUPTED
    except HeadwayError as error:
        if debug:
            _print_chain(error)
        complain(str(error))
        return exits.code_of(error)
    except BrokenPipeError:
        raise
    except Exception as error:
        if debug:
            _print_chain(error)
        complain(
            f"this is a bug in headway: {type(error).__name__}: {error}."
            + ("" if debug else " The same command with --debug shows where.")
        )
        return exits.FAILED


def _mistyped(error: click.ClickException) -> int:
    ctx: Any = getattr(error, "ctx", None)
    complain(error.format_message())
    if ctx is not None:
        click.echo(f"{ctx.get_usage()}\nMore: {ctx.command_path} --help", err=True)
    return exits.MISTYPED


def complain(message: str) -> None:
    """Say on standard error what went wrong."""
    from headway.doors.cli.words import printable_lines

    click.echo(f"headway: {printable_lines(message)}", err=True)


def _print_chain(error: BaseException) -> None:
    import traceback

    click.echo("".join(traceback.format_exception(error)).rstrip(), err=True)


def _forget_output() -> None:
    """Nobody reads any more; Python would complain of that when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        try:
            os.dup2(nowhere, number)
        except OSError:
            pass

"""headway completion SHELL"""

import sys

import click

from headway.doors.cli import exits

_WHERE = {
    "bash": ("~/.bashrc", 'eval "$(headway completion bash)"'),
    "zsh": ("~/.zshrc", 'eval "$(headway completion zsh)"'),
    "fish": ("~/.config/fish/completions/headway.fish", "headway completion fish | source"),
}


@click.command(short_help="Print what completes commands in your shell.")
@click.argument("shell", type=click.Choice(list(_WHERE)))
def command(shell: str) -> int:
    """Print the script that completes headway's commands in SHELL."""
    from click.shell_completion import get_completion_class

    from headway.doors.cli.entry import headway_command

    made = get_completion_class(shell)
    assert made is not None
    file, line = _WHERE[shell]
    click.echo(made(headway_command, {}, "headway", "_HEADWAY_COMPLETE").source())
    if sys.stdout.isatty():
        click.echo(f"To have this in every shell, add this line to {file}:\n  {line}", err=True)
    return exits.DONE

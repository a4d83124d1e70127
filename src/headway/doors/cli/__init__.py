"""The command line. A command's module is imported when the command is typed, not before."""

import sys


def main() -> None:
    """What the ``headway`` command does."""
    from headway.doors.cli.entry import entered

    sys.exit(entered(sys.argv[1:]))

"""The site as a program: ``python -m reading_list serve`` or ``migrate``."""

import argparse
import sys
from pathlib import Path

from reading_list import VERSION, database, place


def main() -> int:
    parser = argparse.ArgumentParser(prog="reading_list")
    commands = parser.add_subparsers(dest="command", required=True)
    migrate = commands.add_parser("migrate", help="bring the database to this version's schema")
    migrate.add_argument("database", type=Path)
    serve = commands.add_parser("serve", help="answer on 127.0.0.1 until SIGTERM")
    serve.add_argument("database", type=Path)
    serve.add_argument("--port", type=int, default=8321)
    serve.add_argument("--place", type=Path, required=True, help="the file that says who serves")
    args = parser.parse_args()
    if args.command == "migrate":
        applied = database.migrate(args.database)
        print("\n".join(f"applied {name}" for name in applied) or "nothing to apply")
        return 0
    with place.taken(args.place, port=args.port, version=VERSION):
        from reading_list.site import serve_until_told

        serve_until_told(args.database, args.port)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, place.Taken) as error:
        sys.exit(f"reading_list: {error}")

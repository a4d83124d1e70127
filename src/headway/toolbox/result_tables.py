"""Prints where the owner's script for the tables of results is: ``python -m`` this module."""

from importlib.resources import as_file, files


def main() -> None:
    with as_file(files("headway.toolbox") / "result_tables.sql") as script:
        print(script)


if __name__ == "__main__":
    main()

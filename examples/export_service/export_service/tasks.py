"""The tasks. Each is named ``export.…``, so that its messages go to the queue ``export``."""

import csv
import io

from celery import chord

from .celery import PLACE, app

CATALOGUE = {
    "fiction": [("Emma", "Austen"), ("Middlemarch", "Eliot"), ("Orlando", "Woolf")],
    "poetry": [("Leaves of Grass", "Whitman"), ("Les Fleurs du mal", "Baudelaire")],
    "science": [("The Sceptical Chymist", "Boyle"), ("Opticks", "Newton")],
}


@app.task(name="export.catalogue")
def catalogue(file: str) -> None:
    """Fans out: a task a shelf, and one that joins them when all are done."""
    chord([shelf.s(name) for name in CATALOGUE])(join.s(file))


@app.task(name="export.shelf")
def shelf(name: str) -> str:
    rows = io.StringIO()
    csv.writer(rows, lineterminator="\n").writerows(
        (name, title, author) for title, author in CATALOGUE[name]
    )
    return rows.getvalue()


@app.task(name="export.join")
def join(parts: list[str], file: str) -> None:
    """Writes the file beside its place first: whoever sees it sees all of it."""
    PLACE.mkdir(parents=True, exist_ok=True)
    unfinished = PLACE / f"{file}.part"
    unfinished.write_text("".join(["shelf,title,author\n", *parts]), "utf-8")
    unfinished.rename(PLACE / file)

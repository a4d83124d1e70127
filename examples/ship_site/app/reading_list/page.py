"""The list as a page for people."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Reading list</title>
<style>
  body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 2rem auto }}
  li.read {{ color: #767676; text-decoration: line-through }}
  li form {{ display: inline }}
  footer {{ margin-top: 3rem; color: #595959; font-size: .8rem }}
</style>
<h1>Reading list</h1>
<form method="post" action="/books">
  <input name="title" placeholder="Title" aria-label="Title" required>
  <input name="author" placeholder="Author" aria-label="Author">
  <button>Add</button>
</form>
<ul>
{books}
</ul>
<footer>version {version}</footer>
</html>
"""


def render(books: Iterable[Mapping[str, Any]], version: str) -> str:
    lines = "\n".join(_line(book) for book in books)
    return _PAGE.format(books=lines or "<li>Nothing yet.</li>", version=escape(version))


def _line(book: Mapping[str, Any]) -> str:
    text = escape(book["title"])
    if book["author"]:
        text += f", by {escape(book['author'])}"
    if book["finished_at"]:
        return f'<li class="read">{text}</li>'
    done = f'<form method="post" action="/books/{book["id"]}/finished"><button>Read</button></form>'
    return f"<li>{text} {done}</li>"

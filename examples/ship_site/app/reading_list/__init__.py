"""A reading list as a small site: a page for people, JSON for programs."""

from pathlib import Path

_FILE = Path(__file__).parent.parent / "VERSION"

# Read once, when the program starts: what runs is this version, whatever is unpacked later.
VERSION = _FILE.read_text().strip() if _FILE.is_file() else "unreleased"

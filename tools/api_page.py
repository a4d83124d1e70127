"""Writes the API's OpenAPI document from the code: ``python -m tools.api_page``."""

import json
from pathlib import Path

from headway.doors.web.app import ApiSettings, make_app
from headway.testing.memory import MemoryStore

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "api.json"


def page() -> str:
    document = make_app(MemoryStore(), ApiSettings(is_loopback=True)).openapi()
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")

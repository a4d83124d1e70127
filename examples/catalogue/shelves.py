"""A step in Python: what ``python: shelves:Listed`` in a playbook carries out for each host."""

from pathlib import Path
from typing import Any

from headway import Job

FLEET = Path("little-fleet").absolute()


class Listed(Job):
    """The host has its list of the shelves."""

    host: str  # set for the host that the step is for

    @property
    def file(self) -> Path:
        return FLEET / self.host / "shelves"

    def Check(self, shelves: list[str], **inputs: Any) -> None:
        found = self.file.read_text().splitlines() if self.file.exists() else []
        if found != shelves:
            missing = ", ".join(sorted(set(shelves) - set(found))) or "nothing"
            raise LookupError(f"{self.host}: {missing} missing from its list")

    def Run(self, shelves: list[str], **inputs: Any) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text("".join(f"{shelf}\n" for shelf in shelves))
        self.output.info("%d shelves", len(shelves))

"""Which machine this is, as far as process ids go: a boot of a system, and a namespace in it."""

import os
from functools import cache
from pathlib import Path


@cache
def this() -> str:
    """Equal for two processes that can signal each other by id; "" where nobody can tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""

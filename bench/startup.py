"""How long headway takes to start, beside ``python -c pass`` in the same run.

    python bench/startup.py [ROUNDS]

Prints, for each case, its wall time less that of the bare interpreter, and what it may be at
most. The cases take turns, and of each the best round counts: what is measured is what Headway
costs, not what else the machine was doing. `headway up` is measured until its API answers.
"""

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

THREE_JOBS = """
from headway import Job
class A(Job):
    def Check(self, *args, **kwargs): pass
class B(A):
    DEPS = (A,)
class C(A):
    DEPS = (B,)
"""
HEADWAY = [sys.executable, "-c", "from headway.doors.cli import main; main()"]
CASES = {  # name: (command, milliseconds it may take above the bare interpreter)
    "python -c pass": ([sys.executable, "-c", "pass"], 0),
    "import headway": ([sys.executable, "-c", "import headway"], 50),
    "headway --help": ([*HEADWAY, "--help"], 120),
    "headway plan, three jobs": ([*HEADWAY, "plan", "three.py:C"], 300),
    "headway run, three jobs": ([*HEADWAY, "run", "three.py:C"], 300),
    "headway runs": ([*HEADWAY, "runs"], 300),
}
UP = "headway up, until it answers"
UP_MS = 1500


def measured_ms(command: list[str], directory: Path) -> float:
    began_s = time.perf_counter()
    subprocess.run(command, cwd=directory, check=False, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began_s) * 1000


def answered_ms(directory: Path) -> float:
    began_s = time.perf_counter()
    command = [*HEADWAY, "up", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as up:
        assert up.stdout is not None
        url = up.stdout.readline().split()[2].rstrip(",")
        with urllib.request.urlopen(f"{url}/health", timeout=60) as answer:
            answer.read()
        took_ms = (time.perf_counter() - began_s) * 1000
        up.terminate()
        up.stdout.read()
    return took_ms


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "three.py").write_text(THREE_JOBS)
        os.environ.pop("HEADWAY_DB", None)
        took: dict[str, list[float]] = {case: [] for case in [*CASES, UP]}
        for turn in range(rounds + 1):
            for case, (command, _) in CASES.items():
                one = measured_ms(command, directory)
                if turn:  # the first turn fills the caches
                    took[case].append(one)
            took[UP].append(answered_ms(directory))
    bare = min(took["python -c pass"])
    print(f"python -c pass: {bare:.0f} ms; above it, the best of {rounds}:")
    missed = False
    bars = [(case, most) for case, (_, most) in CASES.items()]
    for case, most in [*bars, (UP, UP_MS)]:
        if most:
            above = min(took[case]) - bare
            missed |= above > most
            print(f"  {case:30} {above:5.0f} ms  (at most {most})")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())

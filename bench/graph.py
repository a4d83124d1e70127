"""Measures the graph engine beside its peers, on the same jobs, in one run.

    python bench/graph.py                     the table of figures
    python bench/graph.py --jobs 1000 10000   other sizes
    python bench/graph.py --peer PYTHON       also the published dojobber, in that Python's
                                              environment (its import name is Headway's too)

Each figure comes from a process of its own: CPU seconds of compiling and running the graph, and
how much the process grew at its peak beyond the job classes. Engines take turns, so that a slow
moment of the machine meets all of them; the least of the rounds counts.
"""

import argparse
import gc
import graphlib
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHAPES = ("wide", "chain", "layered")
ENGINES = ("graphlib", "off", "on")
BARS = {"off": 2.0, "on": 6.0}
BAR_BYTES_A_JOB = 1024
WIDTH = 100  # of a layer


def build(shape: str, jobs: int, base: Any) -> Any:
    """The root of a graph of so many job classes, all with the same Check."""
    if shape == "chain":
        top: Any = None
        for number in range(jobs):
            top = type(f"Job {number}", (base,), {"DEPS": (top,) if top else ()})
        return top
    if shape == "wide":
        leaves = [type(f"Job {number}", (base,), {"DEPS": ()}) for number in range(jobs - 1)]
        return type("Root", (base,), {"DEPS": leaves})
    chance = random.Random(7)
    layer: list[Any] = []
    for start in range(0, jobs - 1, WIDTH):
        layer = [
            type(
                f"Job {number}",
                (base,),
                {"DEPS": tuple(chance.sample(layer, 3)) if layer else ()},
            )
            for number in range(start, min(start + WIDTH, jobs - 1))
        ]
    return type("Root", (base,), {"DEPS": layer})


def carry_out_by_graphlib(root: Any) -> None:
    sorter: graphlib.TopologicalSorter[Any] = graphlib.TopologicalSorter()
    seen = {root}
    stack = [root]
    while stack:
        job = stack.pop()
        sorter.add(job, *job.DEPS)
        for dep in job.DEPS:
            if dep not in seen:
                seen.add(dep)
                stack.append(dep)
    sorter.prepare()
    while sorter.is_active():
        for job in sorter.get_ready():
            job().Check()
            sorter.done(job)


def carry_out_without_journal(root: Any) -> None:
    import dojobber

    engine = dojobber.DoJobber()
    engine.configure(root)
    engine.checknrun()
    assert engine.success()


def carry_out_with_journal(root: Any) -> None:
    from headway.adapters.inline import Inline
    from headway.adapters.opening import open_store
    from headway.jobs.compiling import compile_jobs
    from headway.runtime import launching
    from headway.runtime.loading import Loaded

    with tempfile.TemporaryDirectory() as directory:
        store = open_store(Path(directory, "headway.db"))
        compiled = compile_jobs(root)
        loaded = Loaded("bench.py", compiled.plan, compiled.definitions, {})
        runner = launching.begin(store, loaded, Inline(), launching.Options())
        assert launching.carry_out(runner) == "succeeded"
        store.close()


def measure(engine: str, shape: str, jobs: int) -> dict[str, float]:
    """One figure, in this process."""
    if engine == "graphlib":

        class Base:
            DEPS: Any = ()

            def Check(self, *args: Any, **kwargs: Any) -> None:
                pass

    else:
        import dojobber

        class Base(dojobber.Job):  # type: ignore[no-redef]
            def Check(self, *args: Any, **kwargs: Any) -> None:
                pass

            def Run(self, *args: Any, **kwargs: Any) -> None:
                pass

    carry_out: Callable[[Any], None] = {
        "graphlib": carry_out_by_graphlib,
        "off": carry_out_without_journal,
        "on": carry_out_with_journal,
        "dojobber": carry_out_without_journal,
    }[engine]
    carry_out(build("wide", 10, Base))  # imports and first-time costs are the start's, not a job's
    root = build(shape, jobs, Base)
    gc.collect()
    before = _peak_bytes()
    began = time.process_time()
    carry_out(root)
    return {"cpu_s": time.process_time() - began, "grown_bytes": _peak_bytes() - before}


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def in_a_process(python: str, engine: str, shape: str, jobs: int, timeout_s: float) -> Any:
    """One figure from a process of its own, or in a word why there is none."""
    argv = [python, __file__, "--one", engine, shape, str(jobs)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return f"> {timeout_s:g} s"
    if done.returncode:
        return done.stderr.strip().splitlines()[-1].split(":")[0]
    return json.loads(done.stdout)


def table(sizes: list[int], rounds: int, peer: str | None) -> int:
    print(f"{'':>22}{'graphlib':>11}  times graphlib's loop       bytes a job beyond the classes")
    print(f"{'shape':>10}{'jobs':>12}{'us a job':>11}{'off':>8}{'on':>8}{'dojobber':>12}", end="")
    print(f"{'off':>8}{'on':>8}{'graphlib':>10}")
    missed = 0
    for jobs in sizes:
        for shape in SHAPES:
            best: dict[str, Any] = {}
            for _ in range(rounds):
                for engine in ENGINES:
                    figure = in_a_process(sys.executable, engine, shape, jobs, 300)
                    if isinstance(figure, str):
                        raise SystemExit(f"{engine} {shape} {jobs}: {figure}")
                    known = best.get(engine)
                    if known is None or figure["cpu_s"] < known["cpu_s"]:
                        best[engine] = figure
            loop = best["graphlib"]["cpu_s"]
            ratios = {engine: best[engine]["cpu_s"] / loop for engine in BARS}
            sizes_of = {engine: best[engine]["grown_bytes"] / jobs for engine in ENGINES}
            published = "-"
            if peer is not None and jobs <= 10_000:
                figure = in_a_process(peer, "dojobber", shape, jobs, 120)
                published = figure if isinstance(figure, str) else f"{figure['cpu_s'] / loop:.0f}"
            print(
                f"{shape:>10}{jobs:>12,}{loop / jobs * 1e6:>11.2f}{ratios['off']:>8.2f}"
                f"{ratios['on']:>8.2f}{published:>12.11}{sizes_of['off']:>8.0f}"
                f"{sizes_of['on']:>8.0f}{sizes_of['graphlib']:>10.0f}",
                flush=True,
            )
            if jobs >= 10_000:
                missed += sum(ratios[engine] > bar for engine, bar in BARS.items())
                missed += sum(sizes_of[engine] > BAR_BYTES_A_JOB for engine in BARS)
    return missed


def threads() -> None:
    """200 jobs of 50 ms on 16 threads, beside what could at best be had."""
    import headway
    from headway.adapters.threads import Threads
    from headway.jobs.compiling import compile_jobs
    from headway.runtime.runner import Runner

    class Nap(headway.Job):
        def Check(self, *args: Any, **kwargs: Any) -> None:
            time.sleep(0.05)

    naps = [type(f"Nap {number}", (Nap,), {}) for number in range(200)]
    compiled = compile_jobs(type("All", (headway.DummyJob,), {"DEPS": naps}))
    taken = []
    for _ in range(5):
        began = time.monotonic()
        Runner(compiled.plan, compiled.definitions, Threads(16)).run()
        taken.append(time.monotonic() - began)
    ideal = -(-200 // 16) * 0.05
    least, middle = min(taken), sorted(taken)[2]
    print(
        f"\n200 jobs of 50 ms on 16 threads: {middle:.3f} s (least {least:.3f} s),"
        f" ideal {ideal:.3f} s: {(middle / ideal - 1) * 100:+.1f}%"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", metavar="PYTHON", help="one that has the published dojobber")
    parser.add_argument("--one", nargs=3, metavar=("ENGINE", "SHAPE", "JOBS"))
    arguments = parser.parse_args()
    if arguments.one:
        engine, shape, jobs = arguments.one
        print(json.dumps(measure(engine, shape, int(jobs))))
        return
    missed = table(arguments.jobs, arguments.rounds, arguments.peer)
    threads()
    bars = f"off at most {BARS['off']:g}, on at most {BARS['on']:g}, {BAR_BYTES_A_JOB} bytes a job"
    print(f"bars from 10,000 jobs on: {bars}: {missed or 'none'} missed")
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()

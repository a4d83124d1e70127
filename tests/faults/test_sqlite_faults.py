"""A store in SQLite when the world is against it: disks, limits, rights, crowds."""

import os
import pwd
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from headway.adapters import filesystems, sqlite
from headway.adapters.opening import open_store
from headway.adapters.sql_store import SqlStore
from headway.errors import Rejected, Unavailable
from headway.jobs.events import Row
from headway.jobs.states import RunState
from headway.ports.store import Line
from headway.testing.stores import EVER, RUN, launch, owner, passed, rows_of, run_id

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 120.0


def begun(path: Path, run: str = RUN) -> SqlStore:
    store = open_store(path)
    store.begin(run, launch(), "{}", 3, owner(), 1)
    return store


def fill(store: SqlStore) -> int:
    """Write until the store refuses; how many rows it has taken."""
    for number in range(100_000):
        row = Row("failed", number, 1, number, "x" * 10_000)
        try:
            store.append(RUN, 1, 1, number + 2, [row])
        except Unavailable:
            return number
    raise AssertionError("nothing was full")


def assert_intact(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# Disks and limits


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("only root may mount")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_said_and_the_store_goes_on_when_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2**19))
    with closing(begun(small_disk / "s.db")) as store:
        written = fill(store)
        with pytest.raises(Unavailable, match="the disk is full"):
            store.append(RUN, 1, 1, written + 2, [Row("failed", 1, 2, 1, "x" * 100_000)])
        assert len(rows_of(store, RUN)) == written > 10
        ballast.unlink()
        store.append(RUN, 1, 1, written + 2, [passed(2)])
        assert rows_of(store, RUN)[-1] == passed(2)
    assert_intact(small_disk / "s.db")


def test_a_limit_on_the_size_of_files_is_said_and_can_be_lifted(tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from headway.errors import Unavailable
from headway.ports.store import Line
from headway.testing.stores import RUN, passed, rows_of
from tests.faults.test_sqlite_faults import begun, fill
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
store = begun(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, most))
written = fill(store)
try:
    store.append(RUN, 1, 1, written + 2, [], lines=[Line(1, 1, 1, "out", "x" * 2_000_000)])
except Unavailable as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
store.append(RUN, 1, 1, written + 2, [passed(2)])
assert len(rows_of(store, RUN)) == written + 1 > 10
store.close()
"""
    child = run_python(program, str(tmp_path / "s.db"))
    assert child.returncode == 0, child.stderr
    assert "ulimit -f" in child.stdout
    assert child.stdout.count("\n") == 1
    assert_intact(tmp_path / "s.db")


def run_python(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_no_file_handles_left_is_said(tmp_path: Path) -> None:
    store = begun(tmp_path / "s.db")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        with pytest.raises(Unavailable, match="Too many open files"):
            open_store(tmp_path / "s.db")
        store.beat(RUN, 1)
    finally:
        for handle in taken:
            os.close(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        store.close()


# Rights and files that are none


@pytest.fixture
def foreign_place() -> Iterator[Path]:
    """A directory with a store, to which we are nobody in particular."""
    place = Path(tempfile.mkdtemp(prefix="headway-", dir="/tmp"))
    try:
        begun(place / "s.db").close()
        place.chmod(0o555)
        (place / "s.db").chmod(0o444)
        if os.geteuid() == 0:  # whom no permission stops
            os.seteuid(pwd.getpwnam("nobody").pw_uid)
        yield place
    finally:
        os.seteuid(os.getuid())
        place.chmod(0o755)
        shutil.rmtree(place)


def test_a_file_that_may_not_be_written_is_said(foreign_place: Path) -> None:
    with pytest.raises(Unavailable, match="may not be written"):
        open_store(foreign_place / "s.db")
    with pytest.raises(Unavailable, match="may not be written"):
        open_store(foreign_place / "new.db")


def test_a_directory_that_may_not_be_written_is_said(foreign_place: Path) -> None:
    """SQLite puts files beside it."""
    os.seteuid(os.getuid())
    (foreign_place / "s.db").chmod(0o666)
    if os.getuid() == 0:
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
    with pytest.raises(Unavailable, match="may not be written"):
        open_store(foreign_place / "s.db")


def test_a_store_on_a_read_only_file_system_is_said(small_disk: Path) -> None:
    path = small_disk / "s.db"
    begun(path).close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(Unavailable, match="may not be written"):
        open_store(path)


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="Check the path"):
        open_store(tmp_path / "file" / "s.db")
    with pytest.raises(Unavailable, match="Check the path"):
        open_store(tmp_path)


@pytest.mark.parametrize("content", [b"not a database " * 100, bytes(range(256)) * 20])
def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(Rejected, match="is no store of Headway's, but something else"):
        open_store(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "s.db").touch()
    begun(tmp_path / "s.db").close()


def test_a_damaged_store_is_said(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with closing(begun(path)) as store:
        store.append(RUN, 1, 1, 2, [passed(key) for key in range(5_000)])
    data = bytearray(path.read_bytes())
    data[8192 : len(data) // 2] = os.urandom(len(data) // 2 - 8192)
    path.write_bytes(data)
    with pytest.raises(Unavailable, match="it is damaged"), closing(open_store(path)) as store:
        rows_of(store, RUN)


def test_only_its_owner_may_read_a_store(tmp_path: Path) -> None:
    with closing(begun(tmp_path / "made" / "s.db")):
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("made/**/*")}
        assert modes == {"s.db": 0o600, "s.db-wal": 0o600, "s.db-shm": 0o600}
        assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700


# Crowds

WRITE_A_LOT = """
import sys, time
from pathlib import Path
from headway.testing.stores import passed, run_id
from tests.faults.test_sqlite_faults import begun
number = int(sys.argv[2])
store = begun(Path(sys.argv[1]), run_id(number))
print("ready", flush=True)
sys.stdin.readline()
longest = 0.0
for place in range(400):
    asked_at = time.monotonic()
    store.append(run_id(number), 1, 1, place + 2, [passed(place)])
    longest = max(longest, time.monotonic() - asked_at)
print(longest)
store.close()
"""


def test_eight_processes_that_write_at_once_all_get_their_turn(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    open_store(path).close()
    children = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE_A_LOT, str(path), str(number)],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    longest = []
    for child in children:
        out, err = child.communicate(timeout=DEADLINE_S)
        assert (child.returncode, err) == (0, "")
        longest.append(float(out))
    assert max(longest) < sqlite.BUSY_S
    with closing(open_store(path)) as store:
        for number in range(8):
            assert len(rows_of(store, run_id(number))) == 400
    assert_intact(path)


def test_a_writer_that_holds_the_file_for_too_long_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_S", 0.2)
    with closing(begun(tmp_path / "s.db")) as store:
        with closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable, match=r"held by another writer .*process 1 on here"):
                store.append(RUN, 1, 1, 2, [passed(1)])
            assert rows_of(store, RUN) == []  # readers need not wait
        store.append(RUN, 1, 1, 2, [passed(1)])


def test_who_waits_for_a_writer_goes_on_when_that_has_ended(tmp_path: Path) -> None:
    program = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
other.execute("COMMIT")
"""
    with closing(begun(tmp_path / "s.db")) as store:
        with subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "s.db")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "held\n"
            child.communicate("let go\n", timeout=DEADLINE_S)
            store.append(RUN, 1, 1, 2, [passed(1)])
        assert rows_of(store, RUN) == [passed(1)]


def test_a_second_connection_of_a_process_leaves_the_first_its_locks(tmp_path: Path) -> None:
    """The system gives up all locks of a process on a file when it closes any handle on it."""
    path = tmp_path / "s.db"
    with closing(begun(path)) as store:
        open_store(path).close()
        # Who believes to be the last to close a file puts its log away.
        program = """
import sys
from headway.adapters.opening import open_store
from headway.testing.stores import RUN, rows_of
store = open_store(sys.argv[1])
print(len(rows_of(store, RUN)))
store.close()
"""
        assert run_python(program, str(path)).stdout == "0\n"
        store.append(RUN, 1, 1, 2, [passed(1)])
        assert run_python(program, str(path)).stdout == "1\n"
        store.append(RUN, 1, 1, 3, [passed(2)])
        assert run_python(program, str(path)).stdout == "2\n"
    assert_intact(path)


# Size


def test_the_log_of_writes_stays_small_while_others_read(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    lines = [Line(1, 1, 1, "out", "x" * 1_000)] * 1_000
    with closing(begun(path)) as store, closing(open_store(path)) as reader:
        largest = 0
        for _ in range(60):
            store.append(RUN, 1, 1, 2, [], lines=lines)
            journal = reader.journal(RUN)
            next(journal)  # a reader that does not finish
            largest = max(largest, (tmp_path / "s.db-wal").stat().st_size)
        assert path.stat().st_size > 50e6
        assert largest < 2 * sqlite.WAL_BYTES


def test_what_was_pruned_is_given_back_to_the_file_system(tmp_path: Path) -> None:
    path, empty = tmp_path / "s.db", tmp_path / "empty.db"
    open_store(empty).close()
    lines = [Line(1, 1, 1, "out", "x" * 1_000)] * 20_000
    with closing(begun(path)) as store:
        store.append(RUN, 1, 1, 2, [passed(1)], lines=lines, state=RunState.SUCCEEDED)
        assert path.stat().st_size > 20e6
        store.prune(EVER, 0)
    assert path.stat().st_size < 1.1 * empty.stat().st_size


# File systems of a network

MOUNTS = """\
22 28 0:20 / /proc rw,nosuid shared:1 - proc proc rw
28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
50 28 0:44 / /home rw shared:9 - nfs4 filer:/home rw,vers=4.2
51 50 254:2 / /home/local rw shared:9 - xfs /dev/vdb rw
52 28 0:50 / /mnt/a\\040b rw - fuse.sshfs me@there: rw
53 28 0:51 / /mnt/hidden rw - nfs there:/ rw
54 53 0:52 / /mnt/hidden rw - tmpfs none rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/project", "ext4"),
        ("/home", "nfs4"),
        ("/home/me/project", "nfs4"),
        ("/homes/me", "ext4"),
        ("/home/local/me", "xfs"),
        ("/mnt/a b/c", "fuse.sshfs"),
        ("/mnt/hidden/c", "tmpfs"),
    ],
)
def test_the_kind_of_file_system_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert filesystems.kind_of(path, MOUNTS) == kind


def test_on_a_file_system_of_a_network_nothing_rests_on_shared_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.replace("/home ", f"{tmp_path} "))
    monkeypatch.setattr(filesystems, "MOUNTS", mounts)
    path = tmp_path / "s.db"
    with closing(begun(path)) as store, closing(open_store(path)) as other:
        store.append(RUN, 1, 1, 2, [passed(1)])
        assert rows_of(other, RUN) == [passed(1)]
        other.append(RUN, 1, 1, 3, [passed(2)])
        assert sorted(p.name for p in tmp_path.iterdir()) == ["mounts", "s.db"]
    assert_intact(path)


def test_power_durability_waits_for_the_disk(tmp_path: Path) -> None:
    for durable, level in (("process", 1), ("power", 2)):
        with closing(open_store(tmp_path / f"{durable}.db", durable=durable)) as store:
            assert store._database.query("PRAGMA synchronous") == [(level,)]

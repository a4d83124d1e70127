"""The fixture ``postgres``: a database of its own on a private PostgreSQL server.

One server a test session (with xdist: a worker), started by the first test that asks, in a
directory of its own, listening on a Unix socket there and nowhere else. It may be killed and
restarted by the test; whoever comes next finds it running again.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlencode

import psycopg
import pytest
from psycopg import sql

if TYPE_CHECKING:
    from tests.conftest import RequireService

DEADLINE_S = 60.0
OWNER = "headway"  # the database role everybody connects as

# A test server has nothing to lose in a power cut, so nothing is forced to the disk. It does keep
# what it has committed when it is killed: that is for the tests to rely on, so commits stay
# synchronous.
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "autovacuum_naptime": "10min",
    "log_min_messages": "warning",
}


def find_binaries() -> Path | None:
    """The directory of ``initdb`` and ``postgres``: the newest Debian has, or the one on PATH."""
    debian = sorted(
        glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda name: int(name.split("/")[4])
    )
    found = debian[-1] if debian else shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def server_account() -> pwd.struct_passwd | None:
    """Whom the server runs as: PostgreSQL refuses root, everybody else runs it as themselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise LookupError("PostgreSQL refuses root, and there is no account postgres or nobody")


class PostgresServer:
    """One private server, its data included.

    Threads: the server's log is read by a thread of ours, which is how we know without polling
    that it accepts connections, or that it has ended.
    """

    def __init__(self, binaries: Path, **settings: str) -> None:
        """``settings``: in place of those that tests have."""
        self._binaries = binaries
        self._settings = {**SETTINGS, **settings}
        self._account = server_account()
        # Root's own temporary directory may be closed to the account; /tmp never is.
        parent = "/tmp" if self._account else None
        self._directory = Path(tempfile.mkdtemp(prefix="headway-postgres-", dir=parent))
        self._data = self._directory / "data"
        self._log: deque[str] = deque(maxlen=200)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._names = count(1)
        if self._account:
            os.chown(self._directory, self._account.pw_uid, self._account.pw_gid)
        try:
            self._initialise()
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def url(self, database: str) -> str:
        query = urlencode({"host": str(self._directory), "user": OWNER})
        return f"postgresql:///{database}?{query}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(self.url(database), autocommit=True)

    def create_database(self, template: str = "template0") -> str:
        """A new database, a copy of TEMPLATE; returns its name."""
        name = f"test_{next(self._names)}"
        with self.connect() as connection:
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def drop_database(self, name: str) -> None:
        """Away with it, whoever is still connected."""
        with self.connect() as connection:
            statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(statement.format(sql.Identifier(name)))

    def start(self) -> None:
        """Starts the server and returns when it accepts connections."""
        command = [str(self._binaries / "postgres"), "-D", str(self._data)]
        command += ["-k", str(self._directory)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        process = self._popen(command)
        self._process = process
        accepts_or_ended = threading.Event()
        self._reader = threading.Thread(
            target=self._read_log, args=(process, accepts_or_ended), daemon=True
        )
        self._reader.start()
        if not accepts_or_ended.wait(DEADLINE_S) or process.poll() is not None:
            raise RuntimeError("PostgreSQL did not start:\n" + "\n".join(self._log))
        self._guard = self._watch_over(process.pid)

    def stop(self) -> None:
        """Ends the server in good order, open connections or not."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Ends the server as a crash does: no goodbye to anybody, recovery at the next start."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Has the server running anew, whether it ran or not, on the same data and socket."""
        if self.running:
            self.stop()
        self.start()

    def close(self) -> None:
        """Ends the server and removes its data."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _initialise(self) -> None:
        command = [str(self._binaries / "initdb"), "-D", str(self._data)]
        command += [
            "--username",
            OWNER,
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]
        with self._popen(command) as process:
            try:
                output, _ = process.communicate(timeout=DEADLINE_S)
            finally:
                process.kill()
        if process.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{output}")

    def _popen(self, command: list[str]) -> subprocess.Popen[str]:
        account = self._account
        return subprocess.Popen(
            command,
            cwd=self._directory,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "HOME": str(self._directory)},
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C at the terminal is for the tests, not for the server
        )

    def _read_log(self, process: subprocess.Popen[str], accepts_or_ended: threading.Event) -> None:
        log: IO[str] | None = process.stdout
        assert log is not None
        with log:
            for line in log:
                self._log.append(line.rstrip())
                if "database system is ready to accept connections" in line:
                    accepts_or_ended.set()
        process.wait()  # the log ends with the last process of the server
        accepts_or_ended.set()

    def _end(self, signum: signal.Signals) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.kill()
            guard.communicate()
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signum)
        if process is not None and self._reader is not None:
            # The log stays open as long as any process of the server lives; before the last one
            # has gone, a new server would refuse the data.
            self._reader.join(DEADLINE_S)
            if self._reader.is_alive():
                raise RuntimeError(f"PostgreSQL did not end after {signum.name}")

    def _watch_over(self, pid: int) -> subprocess.Popen[bytes]:
        """A shell that ends the server if we die without ending it: its input closes then."""
        script = 'read -r _ || { kill -QUIT "$1"; rm -rf "$2"; }'
        return subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", str(pid), str(self._directory)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )


@dataclass(frozen=True)
class Postgres:
    """A fresh database on the private server; ``url`` is what clients are given."""

    server: PostgresServer
    url: str

    def kill(self) -> None:
        """Crashes the server under everybody who is connected."""
        self.server.kill()

    def restart(self) -> None:
        """Has the server running anew, after ``kill`` or without."""
        self.server.restart()


@pytest.fixture(scope="session")
def postgres_server(require_service: "RequireService") -> Iterator[PostgresServer]:
    binaries = find_binaries()
    require_service("postgresql", binaries is not None, "./check --services installs it")
    assert binaries is not None
    server = PostgresServer(binaries)
    yield server
    server.close()


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[Postgres]:
    """A database of its own for the test, on a server that the test may kill and restart."""
    if not postgres_server.running:
        postgres_server.start()
    name = postgres_server.create_database()
    yield Postgres(postgres_server, postgres_server.url(name))
    if not postgres_server.running:
        postgres_server.start()
    postgres_server.drop_database(name)

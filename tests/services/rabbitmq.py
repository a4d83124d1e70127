"""The fixture ``rabbitmq``: a virtual host and a user of its own on a private RabbitMQ node.

One node a test session (with xdist: a worker), started by the first test that asks, with its own
home, name, cookie, data, ports and port mapper, listening on loopback only. It may be stopped,
killed and restarted by the test; whoever comes next finds it running again.
"""

import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import RequireService

DEADLINE_S = 120.0
LEAST_PORT, FIRST_GIVEN_PORT = 12_000, 32_768  # the second is where Linux begins to give them
TRIES = 100
ADMIN = "headway-tests"

# Debian's /usr/sbin/rabbitmq-server drops the environment, so the one behind it is used.
SERVERS = (Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),)

CONFIG = """
log.console = true
log.console.level = warning
log.file = false
loopback_users = none
default_user = {admin}
default_pass = {password}
disk_free_limit.absolute = 1MB
vm_memory_high_watermark.absolute = 2GB
heartbeat = 10
"""
# How long the broker waits for an acknowledgement, and how often it looks. Looking often costs
# nothing here, and lets a test wait for seconds instead of half an hour.
ADVANCED = "[{{rabbit, [{{consumer_timeout, {patience_ms}}}, {{channel_tick_interval, 500}}]}}].\n"
PATIENCE_MS = 1_800_000  # RabbitMQ's own default


def find_server() -> Path | None:
    for server in SERVERS:
        if server.exists() and shutil.which("erl_call") and shutil.which("epmd"):
            return server
    return None


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens at just now.

    None that the system gives to whoever connects somewhere: such a one could be taken before the
    server has begun to listen, or while a test has it down.
    """
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            _bind_below(FIRST_GIVEN_PORT, one)
        return [one.getsockname()[1] for one in sockets]


def _bind_below(port: int, one: socket.socket) -> None:
    for candidate in random.SystemRandom().sample(range(LEAST_PORT, port), TRIES):
        with suppress(OSError):
            one.bind(("127.0.0.1", candidate))
            return
    one.bind(("127.0.0.1", 0))


class RabbitNode:
    """One private node with its port mapper, its data included.

    Threads: the node's log is read by a thread of ours, which is how we know without polling
    that it has started, or ended.
    """

    def __init__(self, server: Path, config: str = "") -> None:
        """``config``: more lines of its rabbitmq.conf."""
        self._server = server
        self._directory = Path(tempfile.mkdtemp(prefix="headway-rabbitmq-"))
        self.port, self._dist_port, self._epmd_port = free_ports(3)
        self.name = f"headway{self.port}@localhost"
        self._password = secrets.token_hex(12)
        self._log: deque[str] = deque(maxlen=400)
        self._node: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        cookie = self._directory / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(20))
        cookie.chmod(0o400)
        self.cookie = cookie.read_text()
        common = CONFIG.format(admin=ADMIN, password=self._password)
        (self._directory / "rabbitmq.conf").write_text(common + config)
        (self._directory / "advanced.config").write_text(ADVANCED.format(patience_ms=PATIENCE_MS))
        (self._directory / "enabled_plugins").write_text("[].\n")
        # Started by us, in the foreground: else the node starts one that outlives it.
        self._epmd = subprocess.Popen(
            ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def running(self) -> bool:
        return self._node is not None and self._node.poll() is None

    @property
    def ports(self) -> tuple[int, int, int]:
        """Of the broker, of the node for other nodes, and of its port mapper."""
        return self.port, self._dist_port, self._epmd_port

    def url(self, user: str, password: str, vhost: str, port: int | None = None) -> str:
        return f"amqp://{user}:{password}@127.0.0.1:{port or self.port}/{vhost}"

    def start(self) -> None:
        """Starts the node and returns when it accepts connections."""
        node = subprocess.Popen(
            [str(self._server)],
            cwd=self._directory,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._node = node
        started_or_ended = threading.Event()
        self._reader = threading.Thread(
            target=self._read_log, args=(node, started_or_ended), daemon=True
        )
        self._reader.start()
        if not started_or_ended.wait(DEADLINE_S) or node.poll() is not None:
            raise RuntimeError("RabbitMQ did not start:\n" + "\n".join(self._log))
        self._guard = self._watch_over(node.pid, self._epmd.pid)

    def stop(self) -> None:
        """Ends the node in good order."""
        if self.running:
            self.tell("init:stop().")
        self._end(None)

    def kill(self) -> None:
        """Ends the node as a crash does."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Has the node running anew, whether it ran or not, on the same data and ports."""
        if self.running:
            self.stop()
        self.start()

    def close(self) -> None:
        """Ends node and port mapper, and removes the data."""
        self._end(signal.SIGKILL)
        self._epmd.kill()
        self._epmd.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def tell(self, erlang: str) -> str:
        """Has the node evaluate an expression, and returns what that gave.

        Some hundred times quicker than rabbitmqctl, which starts a virtual machine each time.
        """
        command = ["erl_call", "-r", "-sname", self.name, "-c", self.cookie, "-timeout", "60"]
        for _ in range(5):
            told = subprocess.run(
                [*command, "-e"],
                input=f"{erlang}\n",
                env=self._environment(),
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )
            # One call in some hundred finds no connection to a node that is well. Nothing has
            # been evaluated then, so that it can be asked again.
            if "failed to connect" not in told.stdout + told.stderr:
                break
        if told.returncode or not told.stdout.startswith("{ok,"):
            raise RuntimeError(f"{erlang} gave: {told.stdout}{told.stderr}")
        return told.stdout.strip()[5:-1]

    def make_vhost(self) -> tuple[str, str]:
        """A new virtual host and the password of the user of the same name who may do all."""
        name, password = f"test{next(self._numbers)}", secrets.token_hex(12)
        self.tell(f'rabbit_vhost:add(<<"{name}">>, <<"tests">>).')
        self.make_user(name, password, name, ".*", ".*", ".*")
        return name, password

    def make_user(
        self, user: str, password: str, vhost: str, configure: str, write: str, read: str
    ) -> None:
        def text(value: str) -> str:
            return "<<" + ",".join(str(byte) for byte in value.encode()) + ">>"

        known = f"rabbit_auth_backend_internal:exists({text(user)})"
        self.tell(
            f"case {known} of true -> ok; false -> rabbit_auth_backend_internal:add_user("
            f'{text(user)}, {text(password)}, <<"tests">>) end,'
            f"rabbit_auth_backend_internal:set_permissions({text(user)}, {text(vhost)},"
            f' {text(configure)}, {text(write)}, {text(read)}, <<"tests">>).'
        )

    @contextmanager
    def managed(self) -> Iterator[tuple[int, dict[str, str]]]:
        """With its management plugin: the port of that, and an environment for rabbitmqctl."""
        plugins = self._directory / "enabled_plugins"
        (port,) = free_ports(1)
        configured = f'tcp_config, [{{port, {port}}}, {{ip, "127.0.0.1"}}]'
        plugins.write_text("[rabbitmq_management].\n")
        ensure = f'rabbit_plugins:ensure("{plugins}")'
        self.tell(f"application:set_env(rabbitmq_management, {configured}), {ensure}.")
        try:
            environment = self._environment()
            path = f"{self._server.parent}:{environment['PATH']}"
            yield port, {**environment, "PATH": path}
        finally:
            plugins.write_text("[].\n")
            self.tell(f"{ensure}.")

    def connections_taken(self) -> int:
        """How many it has accepted so far, of whatever virtual host."""
        return int(self.tell("element(2, hd(ets:lookup(connection_churn_metrics, node())))."))

    def limit_topics(self, user: str, vhost: str, exchange: str, write: str, read: str) -> None:
        """Which routing keys of an exchange the user may publish with, and bind by."""
        values = ", ".join(
            f'<<"{value}">>'.replace("\\", "\\\\") for value in (user, vhost, exchange, write, read)
        )
        self.tell(f'rabbit_auth_backend_internal:set_topic_permissions({values}, <<"tests">>).')

    @property
    def rabbitmqctl(self) -> list[str]:
        """How rabbitmqctl is called so that it asks this node."""
        kept = ("HOME", "LC_ALL", "ERL_EPMD_PORT", "ERL_EPMD_ADDRESS")
        known = [f"{name}={value}" for name, value in self._environment().items() if name in kept]
        return ["env", *known, str(self._server.parent / "rabbitmqctl"), "-n", self.name]

    def drop_vhost(self, name: str) -> None:
        """Away with it, whoever is still connected."""
        self.tell(f'rabbit_vhost:delete(<<"{name}">>, <<"tests">>).')

    def _environment(self) -> dict[str, str]:
        home = str(self._directory)
        return {
            "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "HOME": home,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": f"{home}/data",
            "RABBITMQ_LOG_BASE": f"{home}/log",
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{home}/advanced.config",
            "RABBITMQ_CONF_ENV_FILE": f"{home}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/enabled_plugins",
            "RABBITMQ_PID_FILE": f"{home}/pid",
            # One address to listen at for the other nodes that there are none of, and no
            # schedulers that burn a processor while they wait for work.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none +sbwtdcpu none"
                " +sbwtdio none"
            ),
        }

    def _read_log(self, node: subprocess.Popen[str], started_or_ended: threading.Event) -> None:
        log: IO[str] | None = node.stdout
        assert log is not None
        with log:
            for line in log:
                self._log.append(line.rstrip())
                if "completed with" in line:
                    started_or_ended.set()
        node.wait()  # the log ends with the last process of the node
        started_or_ended.set()

    def _end(self, signum: signal.Signals | None) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.kill()
            guard.communicate()
        node, self._node = self._node, None
        if node is not None and signum is not None:
            # The script that started the node, and the node, are in one group of their own.
            try:
                os.killpg(node.pid, signum)
            except ProcessLookupError:
                pass
        if node is not None and self._reader is not None:
            self._reader.join(DEADLINE_S)
            if self._reader.is_alive():
                raise RuntimeError("RabbitMQ did not end")

    def _watch_over(self, group: int, epmd: int) -> subprocess.Popen[bytes]:
        """A shell that ends node and port mapper if we die without ending them."""
        script = 'read -r _ || { kill -KILL -"$1" "$2"; rm -rf "$3"; }'
        return subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", str(group), str(epmd), str(self._directory)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )


@dataclass(frozen=True)
class RabbitMQ:
    """A fresh virtual host on the private node; ``url`` is what clients are given."""

    node: RabbitNode
    vhost: str
    password: str

    @property
    def url(self) -> str:
        return self.node.url(self.vhost, self.password, self.vhost)

    def url_at(self, port: int) -> str:
        """The same through a forwarder of the test's."""
        return self.node.url(self.vhost, self.password, self.vhost, port)

    def make_user(self, name: str, configure: str, write: str, read: str) -> str:
        """A user who may only do this; returns the url."""
        user = f"{self.vhost}.{name}"
        self.node.make_user(user, self.password, self.vhost, configure, write, read)
        return self.node.url(user, self.password, self.vhost)

    @contextmanager
    def administered(self, home: Path) -> Iterator[dict[str, str]]:
        """An environment in which an administrator types rabbitmqadmin and rabbitmqctl."""
        self.node.tell(
            f'rabbit_auth_backend_internal:set_tags(<<"{self.vhost}">>, [administrator],'
            ' <<"tests">>).'
        )
        with self.node.managed() as (port, environment):
            access = {
                "hostname": "127.0.0.1",
                "port": port,
                "username": self.vhost,
                "password": self.password,
            }
            lines = [f"{name} = {value}" for name, value in access.items()]
            home.mkdir(exist_ok=True)
            (home / ".rabbitmqadmin.conf").write_text("\n".join(["[default]", *lines, ""]))
            cookie = home / ".erlang.cookie"
            cookie.write_text(self.node.cookie)
            cookie.chmod(0o400)
            yield {**environment, "HOME": str(home)}

    def cut(self) -> None:
        """Closes every connection to the virtual host, without a word to the clients."""
        self.node.tell(
            "[exit(rabbit_misc:pget(pid, I), kill) || I <-"
            f' rabbit_networking:connection_info_all([pid, vhost]), {{vhost, <<"{self.vhost}">>}}'
            " =:= lists:keyfind(vhost, 1, I)], ok."
        )

    def block(self) -> None:
        """As if memory were short: the node takes no more messages."""
        self.node.tell("vm_memory_monitor:set_vm_memory_high_watermark({absolute, 1}).")

    def unblock(self) -> None:
        self.node.tell('vm_memory_monitor:set_vm_memory_high_watermark({absolute, "2GB"}).')

    def be_patient(self, patience_ms: int = PATIENCE_MS) -> None:
        """How long a delivery may stay unsettled before its channel is closed."""
        self.node.tell(f"application:set_env(rabbit, consumer_timeout, {patience_ms}).")

    def kill(self) -> None:
        """Crashes the node under everybody who is connected."""
        self.node.kill()

    def stop(self) -> None:
        self.node.stop()

    def start(self) -> None:
        self.node.start()

    def restart(self) -> None:
        """Has the node running anew, after ``kill`` or without."""
        self.node.restart()


@pytest.fixture(scope="session")
def rabbit_node(require_service: "RequireService") -> Iterator[RabbitNode]:
    server = find_server()
    require_service("rabbitmq-server", server is not None, "./check --services installs it")
    assert server is not None
    node = RabbitNode(server)
    yield node
    node.close()


@pytest.fixture
def rabbitmq(rabbit_node: RabbitNode) -> Iterator[RabbitMQ]:
    """A virtual host of its own for the test, on a node that the test may kill and restart."""
    if not rabbit_node.running:
        rabbit_node.start()
    vhost, password = rabbit_node.make_vhost()
    yield RabbitMQ(rabbit_node, vhost, password)
    if not rabbit_node.running:
        rabbit_node.start()
    rabbit_node.drop_vhost(vhost)

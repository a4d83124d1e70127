"""The worker's process: started with the address of a tap, told to stop, ended."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from headway.adapters.bus_address import RabbitAddress
from headway.adapters.groups import how_ended, signal_group
from headway.conformance.log import Ended, Log
from headway.errors import Rejected

MQ, URL = "{mq}", "{url}"  # in a command line: the path of the file, the address itself
LOG_LINES = 8  # of what a worker wrote, in a finding
_REAP_S = 10.0


class Program:
    """One command line, started again and again. A process of it is a *life*."""

    def __init__(
        self, argv: Sequence[str], address: RabbitAddress, port: int, heartbeat_s: int, log: Log
    ) -> None:
        self.argv = tuple(argv)
        self._log = log
        self._place = tempfile.TemporaryDirectory(prefix="headway-conform-")
        self._mq = Path(self._place.name) / "mqconf.json"
        self._written = Path(self._place.name) / "output"
        self._url = _url(address, port, heartbeat_s)
        config = {
            "server": "127.0.0.1",
            "port": port,
            "vhost": address.vhost,
            "user": address.user,
            "password": address.password,
            "heartbeat": heartbeat_s,
        }
        self._mq.touch(0o600)
        self._mq.write_text(json.dumps(config))
        self._process: subprocess.Popen[bytes] | None = None
        self._waiter: threading.Thread | None = None
        self._lives = 0

    @property
    def shown(self) -> str:
        return shlex.join(self.argv)

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def life(self) -> int:
        return self._lives

    def start(self) -> None:
        """Raises: Rejected when there is no such program."""
        argv = [self._filled(word) for word in self.argv]
        if argv == list(self.argv):
            argv.append(str(self._mq))
        if shutil.which(argv[0]) is None:
            raise Rejected(f"there is no program {argv[0]!r}")
        with self._written.open("ab") as output:
            try:
                self._process = subprocess.Popen(
                    [*_dying_with_us(), *argv],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise Rejected(f"{argv[0]} cannot be started: {error.strerror}") from error
        self._lives += 1
        self._waiter = threading.Thread(
            target=self._wait, args=(self._process, self._lives), daemon=True
        )
        self._waiter.start()

    def tell_to_stop(self) -> None:
        """SIGTERM, to the process that was started; what it started is its own business."""
        if self._process is not None and self.lives:
            os.kill(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it and what it started, and return when it is over."""
        if self._process is None or self._waiter is None:
            return
        signal_group(self._process.pid, signal.SIGKILL)
        self._waiter.join(_REAP_S)
        self._process = None

    def close(self) -> None:
        self.kill()
        self._place.cleanup()

    def ending(self) -> str:
        """How its last life ended, if it did, and what it wrote last."""
        ended = self._log.last(Ended)
        if ended is None or ended.life != self._lives:
            return ""
        lines = self.written().splitlines()[-LOG_LINES:]
        said = "".join(f"\n  | {line}" for line in lines)
        return f"its process {how_ended(ended.code)}" + (f", having written:{said}" if said else "")

    def written(self) -> str:
        try:
            return self._written.read_text(errors="replace").strip()
        except OSError:
            return ""

    def _filled(self, word: str) -> str:
        return word.replace(MQ, str(self._mq)).replace(URL, self._url)

    def _wait(self, process: "subprocess.Popen[bytes]", life: int) -> None:
        code = process.wait()
        self._log.note(Ended(self._log.now(), life, code))


def _dying_with_us() -> list[str]:
    """Where util-linux is there, the kernel ends the worker should we be killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _url(address: RabbitAddress, port: int, heartbeat_s: int) -> str:
    user, password = quote(address.user, safe=""), quote(address.password, safe="")
    place = f"127.0.0.1:{port}/{quote(address.vhost, safe='')}"
    return f"amqp://{user}:{password}@{place}?heartbeat={heartbeat_s}"

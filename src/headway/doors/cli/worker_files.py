"""The files that a new worker begins with: texts in which @command@ and the like are filled in."""

from collections.abc import Mapping

CODE = '''\
#!/usr/bin/env python3
"""Serves the command @command@: steps such as @command@:Greet."""

from reworker.worker import Worker, runner


class @class@(Worker):
    dynamic = ()  # inputs that every deployment has to give: ("environment", "cart")

    def process(self, channel, basic_deliver, properties, body, output):
        fsm, run = properties.reply_to, properties.correlation_id
        parameters = body["parameters"]
        if parameters["subcommand"] != "Greet":
            self.reject(basic_deliver)
            why = f"there is no subcommand {parameters['subcommand']}: there is Greet"
            self.send(fsm, run, {"status": "failed", "data": why}, exchange="")
            return False

        self.ack(basic_deliver)
        self.send(fsm, run, {"status": "started"}, exchange="")

        whom = parameters.get("whom", self._config.get("whom", "world"))
        output.info(f"greeting {whom}")
        greeting = f"Hello, {whom}!"

        self.notify("Greeted", greeting, "completed", run)
        self.send(fsm, run, {"status": "completed", "data": greeting}, exchange="")
        return True


def main():
    runner(@class@)


if __name__ == "__main__":
    main()
'''

TEST = '''\
"""@class@ does what its steps say."""

from replugin.@package@ import @class@

from headway.testing import trial_step


def test_a_greeting_is_the_result():
    step = trial_step(@class@, "@command@:Greet", whom="Ada")
    assert (step.status, step.data) == ("completed", "Hello, Ada!")
    assert step.output == ["greeting Ada"]
    assert [notice.slug for notice in step.notices] == ["Greeted"]


def test_an_unknown_subcommand_fails():
    step = trial_step(@class@, "@command@:Dance")
    assert step.status == "failed"
    assert "Dance" in step.data


def test_the_configuration_says_whom_to_greet_by_default(tmp_path):
    config = tmp_path / "config.json"
    config.write_text('{"whom": "everybody"}')
    step = trial_step(@class@, "@command@:Greet", config_file=config)
    assert step.data == "Hello, everybody!"
'''

CONFIG = """\
{
    "queue": "@command@",
    "bindings": [],
    "OUTPUT_LEVEL": "INFO",
    "whom": "world"
}
"""

MQ_CONFIG = """\
{
    "server": "localhost",
    "port": 5672,
    "vhost": "/",
    "user": "@command@",
    "password": "change me",
    "ssl": false
}
"""

PROJECT = """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "@directory@"
version = "0.1.0"
description = "A worker that serves @command@."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["headway[rabbitmq]>=@version@"]

[project.optional-dependencies]
test = ["pytest>=8"]

[project.scripts]
@directory@ = "replugin.@package@:main"

# Without replugin/__init__.py, which would be every worker's: several can then be installed side
# by side.
[tool.hatch.build.targets.wheel]
only-include = ["replugin/@package@"]

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["."]
"""

SERVICE = """\
# Copy to /etc/systemd/system; README.md says how.
[Unit]
Description=Headway worker @command@
Wants=network-online.target
After=network-online.target

[Service]
WorkingDirectory=/etc/@directory@
ExecStart=/opt/@directory@/bin/@directory@ mqconf.json -w config.json
User=@directory@
Restart=on-failure
RestartSec=5

# TERM has the worker finish the step in hand, for up to @stop_limit@ seconds. It goes to the
# worker alone, not to the programs that the step has started.
KillMode=mixed
TimeoutStopSec=@stop_timeout@

NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=full
ProtectHome=read-only

[Install]
WantedBy=multi-user.target
"""

IGNORED = """\
__pycache__/
dist/
mqconf.json
"""

README = """\
# @directory@

A [Headway](https://pypi.org/project/headway/) worker: it serves the command `@command@`, from the queue `worker.@command@`.

| step | parameters | result |
|---|---|---|
| `@command@:Greet` | `whom`: a name; what the configuration says if left out | the greeting |

## Try it

```console
$ python -m pytest -q
…
$ headway step @command@:Greet --param whom=Ada --worker replugin/@package@/__init__.py
…
completed: Hello, Ada!
```

## Serve

Say in `mqconf.json` where the broker is; it holds a password, so it is yours alone, and git does not see it:

```sh
install -m 600 mqconf.example.json mqconf.json
python replugin/@package@/__init__.py mqconf.json -w config.json
headway workers --mq mqconf.json
```

`config.json` is the worker's own configuration. `queue` there says which queue it serves: a second copy with `"queue": "other"` serves `worker.other`, and its steps are written `other:Greet`. `bindings` lists further routing keys that lead to the queue.

## Install it as a service

```sh
python -m pip wheel --no-deps --wheel-dir dist .
python3 -m venv /opt/@directory@
/opt/@directory@/bin/pip install dist/*.whl
useradd --system @directory@
install -d -o root -g @directory@ -m 750 /etc/@directory@
install -g @directory@ -m 640 mqconf.json config.json /etc/@directory@
cp @directory@.service /etc/systemd/system
systemctl enable --now @directory@
```
"""  # noqa: E501

FILES: Mapping[str, str] = {
    "README.md": README,
    "pyproject.toml": PROJECT,
    "config.json": CONFIG,
    "mqconf.example.json": MQ_CONFIG,
    "@directory@.service": SERVICE,
    ".gitignore": IGNORED,
    "replugin/__init__.py": "",
    "replugin/@package@/__init__.py": CODE,
    "tests/test_@package@.py": TEST,
}


def files(values: Mapping[str, str]) -> dict[str, str]:
    """Their texts, by their paths, with the values filled in."""
    return {filled(path, values): filled(text, values) for path, text in FILES.items()}


def filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text

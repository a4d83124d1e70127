"""httprequest: sends one request, and looks whether the status is the expected one."""

import base64
import binascii
import ssl
from collections.abc import Mapping
from typing import Any

from headway.runtime.worker_output import Output
from headway.workers.allowed_hosts import allowed_hosts, place_of
from headway.workers.cutoff import Cutoff
from headway.workers.fetching import Answer, Request, Rules, fetched
from headway.workers.keys import Keys, StepFailed
from headway.workers.step_worker import Step, StepWorker, Work

CONNECT_S = 10.0
ANSWER_S = 30.0
TOTAL_S = 60.0
LONGEST_S = 3_600
BODY_BYTES = 1 << 20
REDIRECTS = 3
HOST = "{host}"  # in a URL: the step's host
SHOWN = 2_000  # characters of an unexpected answer
_WITH_CONTENT = ("Put", "Post")


class HttprequestWorker(StepWorker):
    """``Get``, ``Put``, ``Post``, ``Delete``."""

    subcommands = ("Get", "Put", "Post", "Delete")

    def configured(self, keys: Keys) -> None:
        def seconds(key: str, default: float) -> float:
            return keys.number(key, default, least=0.01, most=LONGEST_S, unit="seconds")

        self.rules = Rules(
            allowed_hosts(keys),
            seconds("connect_s", CONNECT_S),
            seconds("answer_s", ANSWER_S),
            seconds("total_s", TOTAL_S),
            keys.whole("body_bytes", BODY_BYTES, least=0, most=1 << 30, unit="bytes"),
            keys.whole("redirects", REDIRECTS, least=0, most=20),
            _tls(keys),
        )

    def understood(self, step: Step) -> Work:
        keys = step.parameters
        place = place_of(_url(step))
        wanted = keys.whole("code", 200, least=100, most=599)
        request = Request(step.subcommand.upper(), place)
        if step.subcommand in _WITH_CONTENT:
            request = request._replace(body=_content(keys), content_type=_content_type(keys))
        keys.none_left()

        def work(output: Output) -> Mapping[str, Any]:
            with Cutoff(step.patience, self.rules.total_s) as cutoff:
                answer = fetched(request, wanted, self.rules, cutoff)
            said = f"{request.method} {answer.place.name} answered {answer.status}"
            if answer.status != wanted:
                _show(answer, output)
                raise StepFailed(f"{said}, not {wanted}")
            return {"data": f"{said}, as expected"}

        return work


def _url(step: Step) -> str:
    url = step.parameters.text("url")
    return url.replace(HOST, step.host) if HOST in url else url


def _content(keys: Keys) -> bytes:
    content = keys.text("content", pattern="(?s:.*)", wanted="a text")
    if not keys.yes_no("b64encoded", False):
        return content.encode()
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        raise StepFailed(
            f"'content' of {keys.place} is not base64, which 'b64encoded' says"
        ) from None


def _content_type(keys: Keys) -> str:
    wanted = "a media type, like application/json"
    pattern = r"[!-~]{1,100}/[!-~]{1,100}( ?[!-~]{1,100}){0,5}"
    return keys.text("contenttype", pattern=pattern, wanted=wanted)


def _tls(keys: Keys) -> ssl.SSLContext:
    """At least TLS 1.2; certificates are verified, by the system's list or ``ca_file``."""
    file = keys.text("ca_file", None) if "ca_file" in keys else None
    try:
        context = ssl.create_default_context(cafile=file)
    except OSError as error:  # ssl.SSLError is one
        raise keys.wrong("ca_file", f"a file of certificates (PEM): {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _show(answer: Answer, output: Output) -> None:
    text = answer.body[: 4 * SHOWN].decode("utf-8", "replace")[:SHOWN]
    for line in text.splitlines():
        output.info(line)

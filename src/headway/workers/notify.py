"""notify: sends notices as mail, one to each target.

It serves ``notify.email``, where notices go, and its own queue's steps, whose parameters hold the
same four keys: ``slug`` (the subject), ``message``, ``phase``, ``target``.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from headway.ports.bus import Binding, Queue
from headway.runtime.worker_output import Output
from headway.wire import names
from headway.wire.messages import PHASES, SLUG_LONGEST
from headway.workers.keys import Keys, StepFailed, parameters
from headway.workers.mail import ADDRESS, MailServer, mail_server, sent
from headway.workers.step_worker import Step, StepWorker, Work

TRANSPORT = "email"
MOST_TARGETS = 100
LONGEST_MESSAGE = 500_000  # characters


class Notice(NamedTuple):
    """What is to be told, and whom."""

    slug: str
    message: str
    targets: Sequence[str]


class NotifyWorker(StepWorker):
    """``notify:Email``, and notices."""

    subcommands = ("Email",)

    def configured(self, keys: Keys) -> None:
        self.server: MailServer = mail_server(keys)

    def _consumed_queue(self) -> Queue:
        queue = super()._consumed_queue()
        also = Binding(names.EXCHANGE, names.notify_key(TRANSPORT))
        return queue._replace(bindings=tuple(dict.fromkeys([*queue.bindings, also])))

    def step_of(self, body: Any, patience: Any) -> Step:
        """A notice is taken for the step that says the same."""
        if isinstance(body, dict) and "parameters" not in body:
            keys = parameters(body, "the notice")
            return Step("Email", (), keys, {}, patience)
        return super().step_of(body, patience)

    def understood(self, step: Step) -> Work:
        notice = _notice(step.parameters)

        def work(output: Output) -> Mapping[str, Any]:
            results = sent(self.server, notice.slug, notice.message, notice.targets, step.patience)
            for target, why in results.items():
                output.log("INFO" if why is None else "ERROR", f"{target}: {why or 'sent'}")
            told = {target: why or "sent" for target, why in results.items()}
            if failed := [f"{target}: {why}" for target, why in results.items() if why]:
                raise StepFailed(
                    f"{len(failed)} of {len(results)} mails not sent: {'; '.join(failed)}"[:2_000],
                    targets=told,
                )
            return {"data": f"{len(results)} of {len(results)} mails sent", "targets": told}

        return work


def _notice(keys: Keys) -> Notice:
    """Raises: StepFailed."""
    slug = keys.text("slug", pattern="(?s:.*)", wanted="a text")
    message = keys.text(
        "message", pattern=f"(?s:.{{0,{LONGEST_MESSAGE}}})",
        wanted=f"a text of at most {LONGEST_MESSAGE} characters",
    )  # fmt: skip
    keys.choice("phase", ("created", *PHASES))
    targets = tuple(dict.fromkeys(keys.texts("target", wanted="a list of mail addresses")))
    if not 0 < len(targets) <= MOST_TARGETS:
        raise keys.wrong("target", f"a list of 1 to {MOST_TARGETS} mail addresses")
    for target in targets:
        if not re.fullmatch(ADDRESS, target):
            raise StepFailed(
                f"'target' of {keys.place} has {target[:80]!r}, which is no mail address (in ASCII)"
            )
    # A subject is one line.
    return Notice(" ".join(slug.split())[:SLUG_LONGEST], message, targets)

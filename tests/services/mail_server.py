"""A mail server on loopback that keeps what it is given, and refuses what a test says."""

import ssl
from asyncio.base_events import Server
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

LOGIN = (b"herald", b"s3cret")


def text_of(mail: EmailMessage) -> str:
    """As people see it, without the line break that ends every mail."""
    return str(mail.get_content()).replace("\r\n", "\n").removesuffix("\n")


@dataclass
class Mailbox:
    """What arrived, by envelope, and what is not to be taken."""

    refused: dict[str, str] = field(default_factory=dict)  # by recipient, the server's answer
    mails: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, mail))
        self.encrypted.append(session.ssl is not None)
        return "250 OK"

    def authenticator(self, server: Any, session: Any, envelope: Any, kind: str, data: Any) -> Any:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login)
        known = (data.login, data.password) == LOGIN
        return AuthResult(success=known, handled=known)


class OnAnyPort(Controller):
    """A controller that knows its port once the system has chosen one."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def mail_server(
    box: Mailbox,
    context: ssl.SSLContext | None = None,
    *,
    login: bool = False,
    tls_at_once: bool = False,
) -> Iterator[int]:
    """Serves; gives the port. With a context, mail is taken after STARTTLS only, or with
    ``tls_at_once`` nothing is said unencrypted."""
    if tls_at_once:
        with _served(OnAnyPort(box, "127.0.0.1", 0, ssl_context=context)) as port:
            yield port
        return
    controller = OnAnyPort(
        box,
        "127.0.0.1",
        0,
        tls_context=context,
        require_starttls=context is not None,
        authenticator=box.authenticator if login else None,
        auth_required=login and context is not None,
        auth_require_tls=context is not None,
    )
    with _served(controller) as port:
        yield port


@contextmanager
def _served(controller: OnAnyPort) -> Iterator[int]:
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()

"""Sends mail over SMTP: what a configuration says of the server, and one mail to each target."""

import smtplib
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from ipaddress import ip_address

from headway.workers.cutoff import Cutoff
from headway.workers.keys import Keys, StepFailed
from headway.workers.patience import Patience

ANSWER_S = 30.0  # for any one answer of the server
TOTAL_S = 120.0  # for all mails of a notice
LEAVE_S = 5.0
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#: A mail address that needs no quoting anywhere: nothing in it can end a header or a command.
ADDRESS = rf"(?=.{{3,254}}\Z)(?=[^@]{{1,64}}@){_ATOM}(\.{_ATOM})*@{_LABEL}(\.{_LABEL})*"


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed over, and as whom. Shows its password to nobody."""

    host: str
    port: int
    sender: str
    tls: str  # "none", "starttls" or "tls"
    user: str | None
    password: str | None = field(repr=False)
    context: ssl.SSLContext | None = field(repr=False)


def mail_server(keys: Keys) -> MailServer:
    """The keys ``smtp_…``. Raises: DefinitionError."""
    tls = keys.choice("smtp_tls", ("none", "starttls", "tls"), "none")
    host = keys.text("smtp_host", pattern=r"[A-Za-z0-9_.:-]{1,253}", wanted="the server's name")
    user = keys.text("smtp_user") if "smtp_user" in keys else None
    password = keys.text("smtp_password", secret=True) if "smtp_password" in keys else None
    if (user is None) != (password is None):
        missing = "smtp_password" if password is None else "smtp_user"
        raise keys.error(f"{keys.place} lacks {missing!r}: a login is a user and a password")
    if user is not None and tls == "none" and not _is_loopback(host):
        raise keys.error(
            f"{keys.place} would send 'smtp_password' unencrypted to {host}:"
            " say 'smtp_tls': 'starttls' or 'tls'"
        )
    file = keys.text("smtp_ca_file") if "smtp_ca_file" in keys else None
    return MailServer(
        host,
        keys.whole("smtp_port", 465 if tls == "tls" else 25, least=1, most=65535),
        keys.text("smtp_from", pattern=ADDRESS, wanted="a mail address"),
        tls,
        user,
        password,
        None if tls == "none" else _context(keys, file),
    )


def sent(
    server: MailServer, subject: str, text: str, targets: Sequence[str], patience: Patience
) -> Mapping[str, str | None]:
    """One mail to each target: by target, None for one accepted, or why it was not.

    Nothing is tried twice. Raises: StepFailed when the server cannot be used at all.
    """
    with Cutoff(patience, TOTAL_S) as cutoff:
        try:
            session = _Session(server, cutoff)
        except (OSError, smtplib.SMTPException) as error:
            cutoff.check()
            raise StepFailed(
                f"the mail server {server.host}:{server.port} cannot be used: {_said(error)}"
            ) from error
        try:
            results: dict[str, str | None] = {}
            for target in targets:
                mail = _mail(server, subject, text, target)
                results[target] = _handed_over(session, server, mail, target, cutoff)
            return results
        finally:
            _leave(session, cutoff)


def _leave(session: "_Session", cutoff: Cutoff) -> None:
    """In good order if the server likes; what it says now changes nothing any more."""
    try:
        cutoff.phase("leaving the mail server", LEAVE_S)
        session.quit()
    except (OSError, smtplib.SMTPException, StepFailed):
        session.close()


class _Session(smtplib.SMTP):
    """A connection to the server, greeted, encrypted and logged in as configured."""

    def __init__(self, server: MailServer, cutoff: Cutoff) -> None:
        self._server = server
        self._cutoff = cutoff
        cutoff.phase("connecting to the mail server", ANSWER_S)
        super().__init__(local_hostname=_own_name(), timeout=ANSWER_S)
        try:
            self._greet()
        except BaseException:
            self.close()
            raise

    def _greet(self) -> None:
        server = self._server
        code, said = self.connect(server.host, server.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, said)
        self.ehlo_or_helo_if_needed()
        if server.tls == "starttls":
            self.starttls(context=server.context)
            self.ehlo_or_helo_if_needed()
        if server.user is not None and server.password is not None:
            self.login(server.user, server.password)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connection = socket.create_connection((host, port), timeout)
        self._cutoff.watch(connection)
        # starttls verifies the certificate against this name; set only by a constructor given one.
        self._host = host
        if self._server.tls == "tls" and self._server.context is not None:
            connection = self._server.context.wrap_socket(connection, server_hostname=host)
        return connection


def _handed_over(
    session: _Session, server: MailServer, mail: EmailMessage, target: str, cutoff: Cutoff
) -> str | None:
    """Why the server did not take it. Raises: StepFailed when the time is over."""
    cutoff.phase(f"the mail to {target}", ANSWER_S)
    try:
        session.sendmail(server.sender, [target], mail.as_bytes())
    except smtplib.SMTPRecipientsRefused as error:
        code, said = error.recipients[target]
        return f"{code} {_text(said)}"
    except (OSError, smtplib.SMTPException) as error:
        cutoff.check()
        return _said(error)
    return None


def _mail(server: MailServer, subject: str, text: str, target: str) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)  # which refuses a line break in any header
    mail["Subject"] = "".join(letter if letter.isprintable() else "?" for letter in subject)
    mail["From"] = server.sender
    mail["To"] = target
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain=server.sender.rpartition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text, cte="base64" if not text.isascii() else None)
    return mail


def _context(keys: Keys, file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=file)
    except OSError as error:
        raise keys.wrong("smtp_ca_file", f"a file of certificates (PEM): {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _own_name() -> str:
    """What we say in HELO, without asking for our name in the DNS, which may take long."""
    name = socket.gethostname()
    return name if name.isascii() and name else "localhost"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _said(error: BaseException) -> str:
    match error:
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=said):
            return f"{code} {_text(said)}"
        case ssl.SSLCertVerificationError(verify_message=said):
            return f"its certificate is not accepted: {said}"
        case smtplib.SMTPRecipientsRefused():
            return "no recipient was accepted"
        case _:
            return f"{error}"[:300] or type(error).__name__


def _text(said: bytes | str) -> str:
    text = said if isinstance(said, str) else said.decode("utf-8", "replace")
    return " ".join(text.split())[:300]

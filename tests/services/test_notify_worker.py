"""notify: notices as mail, on a real mail server; one mail a target, and a result for each."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from headway.errors import DefinitionError
from headway.wire import names
from headway.workers import mail
from tests.services.mail_server import Mailbox, mail_server, text_of
from tests.unit.serving import Desk, desk
from tests.unit.stock import RUN, answered, config_file, lines, made, refusal, serving

NOTICE = {"slug": "Rolled out", "message": "All is well.\n", "phase": "completed"}


def notice(*targets: str, **more: Any) -> dict[str, Any]:
    return {**NOTICE, "target": list(targets), **more}


@contextmanager
def at_mail_server(
    directory: Path, box: Mailbox, context: ssl.SSLContext | None = None, **config: Any
) -> Iterator[Desk]:
    with ExitStack() as stack:
        login = "smtp_user" in config
        at_once = config.get("smtp_tls") == "tls"
        server = mail_server(box, context, login=login, tls_at_once=at_once)
        port = stack.enter_context(server)
        given = {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_from": "headway@example.net"}
        yield stack.enter_context(serving("notify", directory, {**given, **config}))


def test_a_step_sends_one_mail_to_each_target(tmp_path: Path) -> None:
    box = Mailbox()
    with at_mail_server(tmp_path, box) as at:
        answer = answered(at, "notify:Email", notice("a@example.net", "b@example.org"))
    assert answer == {
        "status": "completed",
        "data": "2 of 2 mails sent",
        "targets": {"a@example.net": "sent", "b@example.org": "sent"},
    }
    assert [(sender, to) for sender, to, _ in box.mails] == [
        ("headway@example.net", ["a@example.net"]),
        ("headway@example.net", ["b@example.org"]),
    ]
    _, _, first = box.mails[0]
    assert first["Subject"] == "Rolled out"
    assert first["To"] == "a@example.net"
    assert first["From"] == "headway@example.net"
    assert text_of(first) == "All is well."


def test_a_notice_on_the_bus_is_sent_and_answered_to_nobody(tmp_path: Path) -> None:
    box = Mailbox()
    with at_mail_server(tmp_path, box) as at:
        at.send(notice("a@example.net"), "notify.email", correlation_id=RUN, reply_to=names.LOG)
        # Steps are done one after another: when this one is answered, the notice has been sent.
        assert answered(at, "notify:Email", notice("b@example.net"))["status"] == "completed"
        assert at.is_silent()
    assert [to for _, to, _ in box.mails] == [["a@example.net"], ["b@example.net"]]


def test_its_queue_is_led_to_by_steps_and_notices(tmp_path: Path) -> None:
    config = {"smtp_host": "localhost", "smtp_from": "a@example.net", "queue": "herald"}
    with desk() as at:
        queue = made(at, "notify", config_file(tmp_path, config))._consumed_queue()
    assert queue.name == "worker.herald"
    assert [binding.key for binding in queue.bindings] == ["worker.herald", "notify.email"]


@pytest.mark.parametrize("text", ["Blåbær\n🫐\n", "x" * 5_000, ".\n..\n.\n", "", "\x00\x1b[31m"])
def test_a_message_arrives_as_it_was(text: str, tmp_path: Path) -> None:
    box = Mailbox()
    with at_mail_server(tmp_path, box) as at:
        answered(at, "notify:Email", notice("a@example.net", message=text, slug="Blåbær 🫐"))
    ((_, _, arrived),) = box.mails
    assert text_of(arrived) == text.removesuffix("\n")
    assert arrived["Subject"] == "Blåbær 🫐"


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\0"])
def test_a_subject_is_one_line_whatever_it_holds(end: str, tmp_path: Path) -> None:
    box = Mailbox()
    with at_mail_server(tmp_path, box) as at:
        slug = f"Hello{end}Bcc: victim@example.net{end}{end}body"
        assert answered(at, "notify:Email", notice("a@example.net", slug=slug))["status"] == (
            "completed"
        )
    ((_, to, arrived),) = box.mails
    assert to == ["a@example.net"]
    assert arrived["Bcc"] is None
    assert arrived["Subject"].startswith("Hello")
    assert text_of(arrived) == "All is well."


@pytest.mark.parametrize(
    "target",
    ["", "nobody", "a@b@c", "a b@example.net", "a@example.net\nb@example.net", "<a@example.net>",
     "A <a@example.net>", "a@example.net, b@example.net", "a@example.net>\r\nRCPT TO:<b@c",
     "a@exämple.net", "a@[127.0.0.1]", '"a b"@example.net', "a@-example.net", "a" * 65 + "@b",
     "a@" + "b." * 130 + "c", "a@example.net\0", ".a@example.net", "a@example.net SIZE=1"],
)  # fmt: skip
def test_what_is_no_plain_address_is_refused_before_anything_is_sent(
    target: str, tmp_path: Path
) -> None:
    box = Mailbox()
    with at_mail_server(tmp_path, box) as at:
        why = refusal(at, "notify:Email", notice("a@example.net", target))
    assert "is no mail address" in why
    assert box.mails == []


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "notify:Email lacks 'slug'"),
        (notice(), "a list of 1 to 100 mail addresses"),
        (notice(*(f"a{n}@b" for n in range(101))), "a list of 1 to 100 mail addresses"),
        (notice("a@b", slug=7), "'slug' of notify:Email is 7: it must be a text"),
        (notice("a@b", message=None), "'message' of notify:Email is None"),
        (notice("a@b", message="x" * 500_001), "at most 500000 characters"),
        (notice("a@b", phase="over"), "'phase' of notify:Email is 'over'"),
        ({**NOTICE, "target": "a@b"}, "'target' of notify:Email is 'a@b'"),
        ({**NOTICE, "target": [7]}, "'target' of notify:Email"),
    ],
)
def test_wrong_parameters_are_said(given: Any, why: str, tmp_path: Path) -> None:
    with at_mail_server(tmp_path, Mailbox()) as at:
        assert why in refusal(at, "notify:Email", given)


def test_a_target_that_is_refused_fails_the_step_and_the_others_are_told_apart(
    tmp_path: Path,
) -> None:
    box = Mailbox(refused={"b@example.net": "550 5.1.1 no such user"})
    targets = ["a@example.net", "b@example.net", "c@example.net", "a@example.net"]
    with at_mail_server(tmp_path, box) as at:
        answer = answered(at, "notify:Email", notice(*targets))
        said = lines(at)
    assert answer == {
        "status": "failed",
        "data": "1 of 3 mails not sent: b@example.net: 550 5.1.1 no such user",
        "targets": {
            "a@example.net": "sent",
            "b@example.net": "550 5.1.1 no such user",
            "c@example.net": "sent",
        },
    }
    assert [to for _, to, _ in box.mails] == [["a@example.net"], ["c@example.net"]]
    assert "b@example.net: 550 5.1.1 no such user" in said


def test_a_server_that_is_not_there_fails_the_step(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        config = {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_from": "a@example.net"}
        with serving("notify", tmp_path, config) as at:
            answer = answered(at, "notify:Email", notice("a@example.net"))
    assert answer["data"].startswith(f"the mail server 127.0.0.1:{port} cannot be used: ")


def test_a_server_that_drips_its_greeting_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "ANSWER_S", 0.3)
    over = threading.Event()

    def drip() -> None:
        connection, _ = listening.accept()
        with connection:
            try:
                while not over.wait(0.02):
                    connection.sendall(b"2")
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip)
        thread.start()
        port = listening.getsockname()[1]
        config = {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_from": "a@example.net"}
        with serving("notify", tmp_path, config) as at:
            answer = answered(at, "notify:Email", notice("a@example.net"))
        over.set()
        thread.join()
    assert answer["data"] == "connecting to the mail server took longer than 0.3 s"


# Encrypted, and logged in


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_mail_goes_encrypted_to_a_verified_server_after_a_login(
    tmp_path: Path, authority: trustme.CA
) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    box = Mailbox()
    login = {"smtp_user": "herald", "smtp_password": "s3cret"}
    config = {"smtp_tls": "starttls", "smtp_ca_file": str(ca_file), **login}
    with at_mail_server(tmp_path, box, server_context(authority, "127.0.0.1"), **config) as at:
        assert answered(at, "notify:Email", notice("a@example.net"))["status"] == "completed"
        assert "s3cret" not in at.log.text
    assert box.encrypted == [True]
    assert box.logins == [b"herald"]


def test_mail_can_go_encrypted_from_the_first_byte(tmp_path: Path, authority: trustme.CA) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    box = Mailbox()
    config = {"smtp_tls": "tls", "smtp_ca_file": str(ca_file)}
    with at_mail_server(tmp_path, box, server_context(authority, "127.0.0.1"), **config) as at:
        assert answered(at, "notify:Email", notice("a@example.net"))["status"] == "completed"
    assert len(box.mails) == 1


def test_a_wrong_password_fails_the_step_and_is_not_shown(tmp_path: Path) -> None:
    login: dict[str, Any] = {"smtp_user": "herald", "smtp_password": "wr0ng"}
    box = Mailbox()
    with at_mail_server(tmp_path, box, **login) as at:
        answer = answered(at, "notify:Email", notice("a@example.net"))
        assert "535" in answer["data"]
        assert "wr0ng" not in answer["data"] + at.log.text
    assert box.mails == []


@pytest.mark.parametrize("name", ["127.0.0.2", None])
def test_a_server_that_cannot_prove_its_name_gets_no_mail(
    name: str | None, tmp_path: Path, authority: trustme.CA
) -> None:
    ca_file = tmp_path / "ca.pem"
    (trustme.CA() if name is None else authority).cert_pem.write_to_path(ca_file)
    context = server_context(authority, name or "127.0.0.1")
    box = Mailbox()
    config = {"smtp_tls": "starttls", "smtp_ca_file": str(ca_file)}
    with at_mail_server(tmp_path, box, context, **config) as at:
        answer = answered(at, "notify:Email", notice("a@example.net"))
    assert "its certificate is not accepted" in answer["data"]
    assert box.mails == []


def test_a_server_without_encryption_gets_no_mail_where_that_is_wanted(tmp_path: Path) -> None:
    box = Mailbox()
    with at_mail_server(tmp_path, box, smtp_tls="starttls") as at:
        answer = answered(at, "notify:Email", notice("a@example.net"))
    assert "STARTTLS" in answer["data"]
    assert box.mails == []


# Its configuration


GOOD = {"smtp_host": "mail.example.net", "smtp_from": "headway@example.net"}


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "lacks 'smtp_host'"),
        ({"smtp_host": "mail.example.net"}, "lacks 'smtp_from'"),
        ({**GOOD, "smtp_host": "a b"}, "the server's name"),
        ({**GOOD, "smtp_from": "nobody"}, "a mail address"),
        ({**GOOD, "smtp_from": "a@b\nBcc: c@d"}, "a mail address"),
        ({**GOOD, "smtp_port": 0}, "a whole number from 1 to 65535"),
        ({**GOOD, "port": 25}, "has a key 'port'"),
        ({**GOOD, "smtp_tls": "maybe"}, "'none', 'starttls' or 'tls'"),
        ({**GOOD, "smtp_user": "me"}, "lacks 'smtp_password'"),
        ({**GOOD, "smtp_password": "x"}, "lacks 'smtp_user'"),
        ({**GOOD, "smtp_user": "me", "smtp_password": "x"}, "unencrypted"),
        ({**GOOD, "smtp_tls": "tls", "smtp_ca_file": "/no/such"}, "a file of certificates"),
    ],
)
def test_a_wrong_configuration_is_said_at_the_start(config: Any, says: str, tmp_path: Path) -> None:
    with desk() as at, pytest.raises(DefinitionError) as caught:
        made(at, "notify", config_file(tmp_path, config))
    assert says in str(caught.value)


def test_a_password_of_a_wrong_type_is_not_shown(tmp_path: Path) -> None:
    config = {**GOOD, "smtp_tls": "tls", "smtp_user": "me", "smtp_password": 31337}
    with desk() as at, pytest.raises(DefinitionError) as caught:
        made(at, "notify", config_file(tmp_path, config))
    assert "'smtp_password'" in str(caught.value)
    assert "31337" not in str(caught.value)


def test_the_password_is_in_no_repr(tmp_path: Path) -> None:
    config = {**GOOD, "smtp_tls": "tls", "smtp_user": "me", "smtp_password": "s3cret"}
    with desk() as at:
        worker: Any = made(at, "notify", config_file(tmp_path, config))
        assert worker.server.password == "s3cret"
        assert "s3cret" not in repr(worker.server)

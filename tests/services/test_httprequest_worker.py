"""httprequest: one request to where it is allowed, within limits, on a real server."""

import base64
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import trustme

from headway.errors import DefinitionError
from headway.runtime import clocks
from headway.wire import names
from headway.workers.allowed_hosts import place_of
from headway.workers.keys import StepFailed
from headway.workers.networks import is_allowed, is_outside
from tests.services.web_site import Handler, Site, site
from tests.unit.serving import DEADLINE_S, Desk, desk
from tests.unit.stock import answered, config_file, lines, made, refusal, send, serving

LOOPBACK = ["127.0.0.0/8"]


@contextmanager
def asking(directory: Path, *ports: int, hosts: Any = None, **config: Any) -> Iterator[Desk]:
    allowed = {"127.0.0.1": {"ports": list(ports), "addresses": LOOPBACK}, **(hosts or {})}
    with serving("httprequest", directory, {"hosts": allowed, **config}) as at:
        yield at


@pytest.fixture
def here() -> Iterator[Site]:
    with site() as made_site:
        yield made_site


def url(of: Site, target: str = "/", host: str = "127.0.0.1") -> str:
    return f"http://{host}:{of.port}{target}"


# What it asks, and what it answers


@pytest.mark.parametrize("subcommand", ["Get", "Delete"])
def test_a_request_with_the_expected_status_completes_and_says_so(
    subcommand: str, tmp_path: Path, here: Site
) -> None:
    with asking(tmp_path, here.port) as at:
        answer = answered(at, f"httprequest:{subcommand}", {"url": url(here, "/?q=s3cret")})
    verb = subcommand.upper()
    said = f"{verb} http://127.0.0.1:{here.port}/ answered 200, as expected"
    assert answer == {"status": "completed", "data": said}
    (seen,) = here.seen
    assert (seen.method, seen.target, seen.body) == (verb, "/?q=s3cret", b"")


def test_the_host_of_the_step_has_its_place_in_the_url(tmp_path: Path, here: Site) -> None:
    with asking(tmp_path, here.port) as at:
        given = {"url": "http://{host}/?of={host}", "hosts": [f"127.0.0.1:{here.port}"]}
        assert answered(at, "httprequest:Get", given)["status"] == "completed"
        assert [one.target for one in here.seen] == [f"/?of=127.0.0.1:{here.port}"]
        for hosts, why in [
            (["a", "b"], "must name one host"),
            (["x@127.0.0.1"], "must name one host"),
            (["elsewhere"], "does not allow elsewhere"),
        ]:
            assert why in answered(at, "httprequest:Get", given | {"hosts": hosts})["data"]
    assert len(here.seen) == 1


@pytest.mark.parametrize("subcommand", ["Put", "Post"])
@pytest.mark.parametrize("content", ["{}", "", "blåbær\r\n"])
def test_content_is_sent_with_its_type(
    subcommand: str, content: str, tmp_path: Path, here: Site
) -> None:
    given = {"url": url(here), "content": content, "contenttype": "text/plain; charset=utf-8"}
    with asking(tmp_path, here.port) as at:
        assert answered(at, f"httprequest:{subcommand}", given)["status"] == "completed"
    (seen,) = here.seen
    assert (seen.method, seen.body) == (subcommand.upper(), content.encode())
    assert seen.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_content_may_be_base64(tmp_path: Path, here: Site) -> None:
    content = bytes(range(256))
    given = {
        "url": url(here),
        "content": base64.encodebytes(content).decode(),
        "contenttype": "application/octet-stream",
        "b64encoded": True,
    }
    with asking(tmp_path, here.port) as at:
        assert answered(at, "httprequest:Put", given)["status"] == "completed"
    assert here.seen[0].body == content


@pytest.mark.parametrize("code", [404, "404"], ids=repr)
def test_another_status_may_be_the_expected_one(code: Any, tmp_path: Path, here: Site) -> None:
    with asking(tmp_path, here.port) as at:
        answer = answered(at, "httprequest:Get", {"url": url(here, "/none"), "code": code})
    assert answer["data"].endswith("/none answered 404, as expected")


def test_another_status_than_the_expected_fails_and_its_page_is_shown(
    tmp_path: Path, here: Site
) -> None:
    here.pages["/ill"] = lambda page: page.answer(503, b"the database\nis gone")
    with asking(tmp_path, here.port) as at:
        answer = answered(at, "httprequest:Get", {"url": url(here, "/ill")})
        assert answer["status"] == "failed"
        assert answer["data"] == f"GET {url(here, '/ill')} answered 503, not 200"
        assert lines(at)[:2] == ["the database", "is gone"]


def test_no_credentials_no_cookies_and_no_proxy(
    tmp_path: Path, here: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    with asking(tmp_path, here.port) as at:
        assert answered(at, "httprequest:Get", {"url": url(here)})["status"] == "completed"
    assert set(here.seen[0].headers) == {
        "Host", "User-Agent", "Accept", "Accept-Encoding", "Connection",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("step", "given", "why"),
    [
        ("Get", {}, "lacks 'url'"),
        ("Get", {"url": 7}, "'url' of httprequest:Get is 7"),
        ("Get", {"url": "http://127.0.0.1/", "code": 99}, "a whole number from 100 to 599"),
        ("Get", {"url": "http://127.0.0.1/", "code": True}, "a whole number from 100 to 599"),
        ("Get", {"url": "http://127.0.0.1/", "content": "x"}, "has a key 'content'"),
        ("Put", {"url": "http://127.0.0.1/"}, "lacks 'content'"),
        ("Post", {"url": "http://127.0.0.1/", "content": "x"}, "lacks 'contenttype'"),
        (
            "Post",
            {"url": "http://127.0.0.1/", "content": "x", "contenttype": "a/b\r\nX-Y: z"},
            "a media type",
        ),
        (
            "Post",
            {"url": "http://127.0.0.1/", "content": "?", "contenttype": "a/b", "b64encoded": True},
            "is not base64",
        ),
        ("Head", {"url": "http://127.0.0.1/"}, "no subcommand 'Head'"),
    ],
)
def test_wrong_parameters_are_said(step: str, given: Any, why: str, tmp_path: Path) -> None:
    with asking(tmp_path, 1) as at:
        assert why in refusal(at, f"httprequest:{step}", given)


@pytest.mark.parametrize(
    "address",
    ["", "/", "127.0.0.1", "//127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "http:///x",
     "http://", "ftp://127.0.0.1/", "http://user@127.0.0.1/", "http://user:pw@127.0.0.1/",
     "http://@127.0.0.1/", "http://example.net@127.0.0.1/", "http://127.0.0.1\\@example.net/",
     "http://127.0.0.1/a b", "http://127.0.0.1/\r\nX: y", "http://127.0.0.1\t/", " http://127.0.0.1/",
     "http://127.0.0.1:0/", "http://127.0.0.1:65536/", "http://127.0.0.1:x/", "http://127.0.0.1:-1/",
     "http://[::1/", "http://::1/", "http://[fe80::1%25lo]/", "http://[v1.x]/", "http://exämple.net/",
     "http://127.1/", "http://0177.0.0.1/", "http://0x7f.0.0.1/", "http://2130706433/",
     "http://0x7f000001/", "http://127.0.0.1.1/", "http://%31%32%37.0.0.1/", "http://\uff11\uff12\uff17.0.0.1/",
     "http://a..b/", "http://-a.b/", "http://" + "a" * 64 + ".b/", "http://x/" + "a" * 8_000],
    ids=lambda text: text[:40],
)  # fmt: skip
def test_a_url_that_can_be_read_in_two_ways_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(StepFailed):
        place_of(address)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("http://EXAMPLE.net", "http://example.net/"),
        ("https://example.net.:443/a?b#c", "https://example.net/a"),
        ("http://[0:0::1]:80/", "http://[::1]/"),
        ("https://x_y.example:8443/ä/%C3%A4", "https://x_y.example:8443/%C3%A4/%C3%A4"),
    ],
)
def test_a_url_has_one_form(address: str, name: str) -> None:
    assert place_of(address).name == name


# Where it may go


OUTSIDE = "1.1.1.1 8.8.8.8 100.63.255.255 172.32.0.1 223.255.255.255 2606:4700::1111 2a00:1450::1"
INSIDE = """
0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 127.255.255.255 169.254.169.254 172.16.0.1 172.31.255.255
192.0.0.8 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1
255.255.255.255 :: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:0:7f00:1 64:ff9b::7f00:1 64:ff9b:1::1
100::1 2001::1 2001:10::1 2001:db8::1 2002:7f00:1:: 3fff::1 5f00::1 fc00::1 fd12:3456::1 fe80::1
fe80::1%lo fec0::1 ff02::1 ff0e::1
"""


@pytest.mark.parametrize("text", OUTSIDE.split())
def test_a_public_address_is_outside(text: str) -> None:
    assert is_outside(ip_address(text))
    assert is_allowed(ip_address(text), [])


@pytest.mark.parametrize("text", INSIDE.split())
def test_an_address_that_is_not_public_is_inside_in_whatever_form(text: str) -> None:
    assert not is_outside(ip_address(text))
    assert not is_allowed(ip_address(text), [])


def test_a_mapped_address_counts_as_what_it_maps() -> None:
    assert is_allowed(ip_address("::ffff:1.1.1.1"), [])
    assert is_allowed(ip_address("::ffff:10.1.0.1"), [ip_network("10.1.0.0/16")])
    assert not is_allowed(ip_address("::ffff:10.2.0.1"), [ip_network("10.1.0.0/16")])


HOSTS = {
    "api.example.net": {},
    "*.example.org": {"ports": [8443]},
    "a.example.org": {"ports": [80]},
    "*": {"ports": [1234]},
}


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://example.com/", "does not allow port 80 of example.com"),
        ("http://api.example.net:8080/", "does not allow port 8080"),
        ("https://x.example.org/", "does not allow port 443"),
        ("https://a.example.org:8443/", "does not allow port 8443 of a.example.org"),
        ("http://example.org/", "does not allow port 80"),
        ("http://api.example.net.evil.example/", "does not allow port 80"),
        ("http://127.0.0.1:1234/", "does not allow 127.0.0.1"),
        ("http://[::1]:1234/", "does not allow ::1"),
    ],
)
def test_only_allowed_hosts_and_ports_are_asked(address: str, why: str, tmp_path: Path) -> None:
    with serving("httprequest", tmp_path, {"hosts": HOSTS}) as at:
        assert why in answered(at, "httprequest:Get", {"url": address})["data"]


class Names:
    """The system's resolver, with names of a test's; each may change its mind when asked again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: list[list[str]]) -> None:
        self.asked: list[str] = []
        self._answers = {name.replace("_", "."): list(found) for name, found in answers.items()}
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._resolve)

    def _resolve(self, host: Any, *args: Any, **more: Any) -> Any:
        if host not in self._answers:
            return self._real(host, *args, **more)
        self.asked.append(host)
        found = self._answers[host]
        texts = found.pop(0) if len(found) > 1 else found[0]
        if not texts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (text, 0, 0, 0)) for text in texts]


@pytest.mark.parametrize(
    "found",
    [["127.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["::ffff:127.0.0.1"], ["::1"], ["::7f00:1"],
     ["169.254.169.254"], ["64:ff9b::7f00:1"], ["fe80::1%lo"], ["0.0.0.0"]],
    ids=str,
)  # fmt: skip
def test_a_name_that_leads_inside_is_refused_and_nothing_is_connected_to(
    found: list[str], tmp_path: Path, here: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    names_ = Names(monkeypatch, www_example_net=[found])
    hosts = {"www.example.net": {"ports": [here.port]}}
    with serving("httprequest", tmp_path, {"hosts": hosts}) as at:
        answer = answered(at, "httprequest:Get", {"url": url(here, host="www.example.net")})
    assert "which is not public" in answer["data"]
    assert names_.asked == ["www.example.net"]
    assert here.connections == 0


def test_localhost_is_inside_as_any_name_that_leads_there(tmp_path: Path, here: Site) -> None:
    with serving("httprequest", tmp_path, {"hosts": {"*": {"ports": [here.port]}}}) as at:
        answer = answered(at, "httprequest:Get", {"url": url(here, host="localhost")})
    assert "which is not public" in answer["data"]
    assert here.connections == 0


def test_a_name_is_asked_once_and_the_address_that_was_checked_is_connected_to(
    tmp_path: Path, here: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    names_ = Names(monkeypatch, cat_internal=[["127.0.0.1"], ["127.0.0.2"]])
    hosts = {"cat.internal": {"ports": [here.port], "addresses": ["127.0.0.1"]}}
    with site("127.0.0.2", here.port) as other, asking(tmp_path, hosts=hosts) as at:
        answer = answered(at, "httprequest:Get", {"url": url(here, host="cat.internal")})
        assert other.connections == 0
    assert answer["status"] == "completed"
    assert names_.asked == ["cat.internal"]
    assert here.seen[0].headers["Host"] == f"cat.internal:{here.port}"


def test_the_next_address_is_tried_when_one_does_not_accept(
    tmp_path: Path, here: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, cat_internal=[["127.0.0.3", "127.0.0.1"]])
    hosts = {"cat.internal": {"ports": [here.port], "addresses": LOOPBACK}}
    with asking(tmp_path, hosts=hosts) as at:
        answer = answered(at, "httprequest:Get", {"url": url(here, host="cat.internal")})
    assert answer["status"] == "completed"


def test_a_name_that_is_not_found_fails_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, none_internal=[[]])
    with asking(tmp_path, hosts={"none.internal": {}}) as at:
        answer = answered(at, "httprequest:Get", {"url": "http://none.internal/"})
    assert answer["data"].startswith("the addresses of none.internal cannot be found")


def test_a_name_that_nobody_answers_for_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def ask(*args: Any, **more: Any) -> Any:
        over.wait(DEADLINE_S)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    with asking(tmp_path, hosts={"slow.internal": {}}, connect_s=0.1) as at:
        answer = answered(at, "httprequest:Get", {"url": "http://slow.internal/"})
    over.set()
    assert answer["data"].startswith("the addresses of slow.internal were not found within 0.")


def test_a_server_that_is_not_there_fails_the_step(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        with asking(tmp_path, port) as at:
            answer = answered(at, "httprequest:Get", {"url": f"http://127.0.0.1:{port}/"})
    assert answer["data"] == f"127.0.0.1:{port} cannot be connected to: Connection refused"


def test_an_address_of_version_6_can_be_asked(tmp_path: Path) -> None:
    try:
        stack = site("::1")
        on_v6 = stack.__enter__()
    except OSError:
        pytest.skip("this machine has no IPv6")
    try:
        hosts = {"::1": {"ports": [on_v6.port], "addresses": ["::1"]}}
        with asking(tmp_path, hosts=hosts) as at:
            given = {"url": url(on_v6, host="[0:0:0:0:0:0:0:1]")}
            assert answered(at, "httprequest:Get", given)["status"] == "completed"
        assert on_v6.seen[0].headers["Host"] == f"[::1]:{on_v6.port}"
    finally:
        stack.__exit__(None, None, None)


# Redirects


def redirect(to: str, status: int = 302) -> Any:
    return lambda page: page.answer(status, Location=to)


def test_a_redirect_is_followed_where_that_is_allowed(tmp_path: Path, here: Site) -> None:
    here.pages["/old"] = redirect("new?x=1")
    here.pages["/new"] = lambda page: page.answer(204)
    with asking(tmp_path, here.port) as at:
        answer = answered(at, "httprequest:Get", {"url": url(here, "/old"), "code": 204})
    assert answer["data"] == f"GET {url(here, '/new')} answered 204, as expected"
    assert [seen.target for seen in here.seen] == ["/old", "/new?x=1"]


def test_a_redirect_that_is_expected_is_not_followed(tmp_path: Path, here: Site) -> None:
    here.pages["/old"] = redirect("/new", 301)
    with asking(tmp_path, here.port) as at:
        answer = answered(at, "httprequest:Get", {"url": url(here, "/old"), "code": 301})
    assert answer["status"] == "completed"
    assert len(here.seen) == 1


@pytest.mark.parametrize(
    ("subcommand", "status", "then"),
    [
        ("Post", 301, "GET"), ("Post", 302, "GET"), ("Post", 303, "GET"), ("Put", 303, "GET"),
        ("Post", 307, "POST"), ("Post", 308, "POST"), ("Put", 302, "PUT"),
        ("Delete", 302, "DELETE"),
    ],
)  # fmt: skip
def test_what_is_asked_after_a_redirect_is_what_its_status_says(
    subcommand: str, status: int, then: str, tmp_path: Path, here: Site
) -> None:
    here.pages["/old"] = redirect("/", status)
    content = {} if subcommand == "Delete" else {"content": "x", "contenttype": "text/plain"}
    with asking(tmp_path, here.port) as at:
        answered(at, f"httprequest:{subcommand}", {"url": url(here, "/old"), **content})
    assert [seen.method for seen in here.seen] == [subcommand.upper(), then]
    assert here.seen[1].body == (b"x" if content and then != "GET" else b"")


@pytest.mark.parametrize("status", [302, 308])
@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("http://127.0.0.2:{port}/", "does not allow 127.0.0.2"),
        ("//127.0.0.2:{port}/", "does not allow 127.0.0.2"),
        ("http://inside.example:{port}/", "which is not public"),
        ("http://localhost:{port}/", "does not allow localhost"),
        ("http://127.0.0.1:1/", "does not allow port 1"),
        ("http://[::ffff:127.0.0.2]:{port}/", "does not allow ::ffff:"),
        ("http://127.0.0.1@127.0.0.2:{port}/", "names a user"),
        ("http://2130706434:{port}/", "neither a name"),
        ("file:///etc/passwd", "neither http:// nor https://"),
        ("http://169.254.169.254/latest", "does not allow 169.254.169.254"),
    ],
)
def test_a_redirect_leads_nowhere_that_is_not_allowed(
    to: str, why: str, status: int, tmp_path: Path, here: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, inside_example=[["127.0.0.2"]])
    here.pages["/old"] = redirect(to.format(port=here.port), status)
    hosts = {"inside.example": {"ports": [here.port]}}
    with site("127.0.0.2", here.port) as other, asking(tmp_path, here.port, hosts=hosts) as at:
        answer = answered(at, "httprequest:Get", {"url": url(here, "/old")})
        assert other.connections == 0
    assert answer["status"] == "failed"
    assert why in answer["data"]
    assert len(here.seen) == 1


def test_redirects_in_a_circle_come_to_an_end(tmp_path: Path, here: Site) -> None:
    here.pages["/round"] = redirect("/round")
    with asking(tmp_path, here.port, redirects=2) as at:
        answer = answered(at, "httprequest:Get", {"url": url(here, "/round")})
    assert answer["data"].startswith("it was redirected more than 2 times")
    assert len(here.seen) == 3


def test_a_redirect_to_nowhere_is_an_answer_like_others(tmp_path: Path, here: Site) -> None:
    here.pages["/old"] = lambda page: page.answer(302)
    with asking(tmp_path, here.port) as at:
        answer = answered(at, "httprequest:Get", {"url": url(here, "/old")})
    assert answer["data"].endswith("answered 302, not 200")


# Time and size


def drip_headers(page: Handler) -> None:
    page.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    page.drip(b"x")


def drip_interim(page: Handler) -> None:
    page.drip(b"HTTP/1.1 100 Continue\r\n\r\n")


def drip_body(page: Handler) -> None:
    page.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    page.drip(b"x")


def drip_without_length(page: Handler) -> None:
    page.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    page.drip(b"x")


@pytest.mark.parametrize("page", [drip_headers, drip_interim])
def test_an_answer_that_drips_is_given_up(page: Any, tmp_path: Path, here: Site) -> None:
    here.pages["/slow"] = page
    with asking(tmp_path, here.port, answer_s=0.3) as at:
        answer = answered(at, "httprequest:Get", {"url": url(here, "/slow")})
    assert answer["data"] == f"the answer of 127.0.0.1:{here.port} took longer than 0.3 s"


@pytest.mark.parametrize("page", [drip_headers, drip_interim, drip_body, drip_without_length])
def test_all_of_it_has_a_limit(page: Any, tmp_path: Path, here: Site) -> None:
    here.pages["/slow"] = page
    with asking(tmp_path, here.port, total_s=0.3) as at:
        answer = answered(at, "httprequest:Get", {"url": url(here, "/slow")})
    assert answer == {"status": "failed", "data": "it took longer than 0.3 s"}


def test_the_deadline_of_the_step_counts_too(tmp_path: Path, here: Site) -> None:
    here.pages["/slow"] = drip_body
    headers = {names.DEADLINE: clocks.now_us() + 300_000}
    with asking(tmp_path, here.port) as at:
        answer = answered(at, "httprequest:Get", {"url": url(here, "/slow")}, headers=headers)
    assert answer["data"] == "it was given up: the step's deadline is over"


def test_a_worker_that_leaves_gives_its_request_up(tmp_path: Path, here: Site) -> None:
    here.pages["/slow"] = drip_body
    with desk() as at:
        hosts = {"127.0.0.1": {"ports": [here.port], "addresses": LOOPBACK}}
        file = config_file(tmp_path, {"hosts": hosts})
        with at.serving(made(at, "httprequest", file, finish_s=0.1)):
            send(at, "httprequest:Get", {"url": url(here, "/slow")})
            assert at.reply() == {"status": "started"}
        assert at.reply()["data"] == "it was given up: the worker is being stopped"


def test_a_connection_that_nobody_takes_has_a_limit(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never says a word
        port = silent.getsockname()[1]
        with asking(tmp_path, port, connect_s=0.2) as at:
            answer = answered(at, "httprequest:Get", {"url": f"https://127.0.0.1:{port}/"})
    assert answer["data"] == f"connecting to 127.0.0.1:{port} took longer than 0.2 s"


@pytest.mark.parametrize("size", [999, 1_000])
def test_an_answer_may_be_as_large_as_the_limit(size: int, tmp_path: Path, here: Site) -> None:
    here.pages["/big"] = lambda page: page.answer(body=b"x" * size)
    with asking(tmp_path, here.port, body_bytes=1_000) as at:
        answer = answered(at, "httprequest:Get", {"url": url(here, "/big")})
    assert answer["status"] == "completed"


def flood(page: Handler) -> None:
    """A body without length, and without end."""
    page.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    try:
        while True:
            page.wfile.write(b"x" * 65_536)
    except OSError:
        page.close_connection = True


def flood_in_chunks(page: Handler) -> None:
    page.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    try:
        while True:
            page.wfile.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
    except OSError:
        page.close_connection = True


@pytest.mark.parametrize(
    "page", [flood, flood_in_chunks, lambda page: page.answer(body=b"x" * 1_001)], ids=range(3)
)
def test_a_larger_answer_fails_the_step(page: Any, tmp_path: Path, here: Site) -> None:
    here.pages["/big"] = page
    with asking(tmp_path, here.port, body_bytes=1_000) as at:
        answer = answered(at, "httprequest:Get", {"url": url(here, "/big")})
    assert answer == {"status": "failed", "data": "the answer has more than 1000 bytes"}


@pytest.mark.parametrize(
    "raw",
    [b"", b"\r\n", b"SMTP ready\r\n\r\n", b"HTTP/1.1 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n" * 200,
     b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"HTTP/1.1 200 " + b"x" * 70_000,
     b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
    ids=range(9),
)  # fmt: skip
def test_an_answer_that_is_none_fails_the_step_and_not_the_worker(
    raw: bytes, tmp_path: Path, here: Site
) -> None:
    def page(handler: Handler) -> None:
        handler.wfile.write(raw)
        handler.close_connection = True

    here.pages["/odd"] = page
    with asking(tmp_path, here.port) as at:
        answer = answered(at, "httprequest:Get", {"url": url(here, "/odd")})
        assert answer["status"] == "failed"
        assert "did not answer properly" in answer["data"]
        assert answered(at, "httprequest:Get", {"url": url(here)})["status"] == "completed"


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, *names_: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names_).configure_cert(context)
    return context


def test_a_server_that_proves_its_name_is_asked(
    tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, cat_internal=[["127.0.0.1"]])
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    with site(context=server_context(authority, "cat.internal")) as there:
        hosts = {"cat.internal": {"ports": [there.port], "addresses": LOOPBACK}}
        with asking(tmp_path, hosts=hosts, ca_file=str(ca_file)) as at:
            given = {"url": f"https://cat.internal:{there.port}/"}
            assert answered(at, "httprequest:Get", given)["status"] == "completed"
            there.pages["/down"] = redirect(f"http://cat.internal:{there.port}/")
            answer = answered(at, "httprequest:Get", {"url": given["url"] + "down"})
            assert "redirects from https to http://" in answer["data"]


@pytest.mark.parametrize("case", ["another name", "unknown authority"])
def test_a_server_that_cannot_prove_its_name_is_not_asked(
    case: str, tmp_path: Path, authority: trustme.CA
) -> None:
    ca_file = tmp_path / "ca.pem"
    (authority if case == "another name" else trustme.CA()).cert_pem.write_to_path(ca_file)
    name = "cat.internal" if case == "another name" else "127.0.0.1"
    with (
        site(context=server_context(authority, name)) as there,
        asking(tmp_path, there.port, ca_file=str(ca_file)) as at,
    ):
        given = {"url": f"https://127.0.0.1:{there.port}/"}
        answer = answered(at, "httprequest:Get", given)
        assert "the certificate or TLS of" in answer["data"]
        assert there.seen == []


# Its configuration


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "lacks 'hosts'"),
        ({"hosts": ["example.net"]}, "'hosts' of the configuration"),
        ({"hosts": {}}, "one host at least"),
        ({"hosts": {"http://x/": {}}}, "is no host"),
        ({"hosts": {"a.*": {}}}, "is no host"),
        ({"hosts": {"a": 1}}, "'a' of 'hosts'"),
        ({"hosts": {"a": {"ports": [0]}}}, "whole numbers from 1 to 65535"),
        ({"hosts": {"a": {"ports": 80}}}, "whole numbers from 1 to 65535"),
        ({"hosts": {"a": {"addresses": ["10.0.0.1/8"]}}}, "'10.0.0.1/8'"),
        ({"hosts": {"a": {"adresses": []}}}, "has a key 'adresses'"),
        ({"hosts": {"*": {"addresses": ["10.0.0.0/8"]}}}, "may have no 'addresses'"),
        ({"hosts": {"a": {}}, "total_s": 0}, "a number from 0.01 to 3600 seconds"),
        ({"hosts": {"a": {}}, "body_bytes": -1}, "'body_bytes'"),
        ({"hosts": {"a": {}}, "redirects": 21}, "a whole number from 0 to 20"),
        ({"hosts": {"a": {}}, "ca_file": "/no/such"}, "a file of certificates"),
    ],
)
def test_a_wrong_configuration_is_said_at_the_start(config: Any, says: str, tmp_path: Path) -> None:
    with desk() as at, pytest.raises(DefinitionError) as caught:
        made(at, "httprequest", config_file(tmp_path, config))
    assert says in str(caught.value)

"""Whatever a step holds, a stock worker answers it, and nothing becomes what it is not."""

import re
import string
import sys
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from headway.errors import DefinitionError
from headway.wire import strict_json
from headway.workers.allowed_hosts import allowed_hosts, place_of
from headway.workers.catalogue import STOCK, stock_worker
from headway.workers.kept_output import is_run_id
from headway.workers.keys import Keys, StepFailed, configuration
from headway.workers.listed_commands import listed_command
from headway.workers.mail import ADDRESS
from headway.workers.networks import is_allowed, is_outside
from headway.workers.patience import Patience
from headway.workers.redaction import REDACTED, redaction
from headway.workers.step_worker import Step, StepWorker, step_in

TEXT = st.text(max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
# Words that programs, shells and this worker's own templates take for more than a text.
NASTY = st.sampled_from(
    ["", "-", "--", "-rf", "; id", "| id", "& id", "$(id)", "`id`", "$HOME", "*", "?", "~root",
     "a\nb", "a\rb", "a\0b", "LD_PRELOAD=x", "{a}", "{b...}", "{{", "}}", "%s", "\\", "'", '"',
     "\x1b[2J"]
)  # fmt: skip
PATIENCE = Patience(Event())


def require_sentence(error: Exception) -> None:
    """What was wrong is said, in bounds, and can be sent."""
    assert 10 < len(str(error)) < 3_000
    strict_json.encode({"data": str(error)})


def step(parameters: Mapping[str, Any], dynamic: Any = None) -> Step:
    body = {"parameters": {"subcommand": "Go", "hosts": ["h"], **parameters}, "dynamic": dynamic}
    return step_in(body, "shell", PATIENCE)


def keys(values: Any) -> Keys:
    return Keys(values, "the configuration", DefinitionError)


# What is understood of a step, by each worker, without a bus


def understood() -> dict[str, Callable[[Step], object]]:
    """Each worker's own, with a configuration as it may have."""
    configs: dict[str, Any] = {
        "noop": {},
        "sleep": {},
        "shell": {"commands": {"Go": {
            "argv": [sys.executable, "{a}", "{b...}"],
            "parameters": {"a": {"pattern": ".*"}, "b": {"choices": ["x"], "list": True}},
        }}},
        "httprequest": {"hosts": {"*": {}}},
        "notify": {"smtp_host": "localhost", "smtp_from": "a@b"},
    }  # fmt: skip
    found: dict[str, Callable[[Step], object]] = {}
    for stock in STOCK:
        worker_class = stock_worker(stock.name)
        assert worker_class is not None
        if issubclass(worker_class, StepWorker):
            worker = object.__new__(worker_class)
            worker.configured(keys(configs[stock.name]))
            found[stock.name] = worker.understood
    return found


UNDERSTOOD = understood()
SUBCOMMANDS = st.sampled_from(["Go", "Ok", "Fail", "Seconds", "Get", "Put", "Post", "Email"]) | TEXT
PARAMETERS = st.dictionaries(
    st.sampled_from(
        "seconds a b url code content contenttype b64encoded".split()
        + "slug message phase target hosts".split()
    )
    | TEXT,
    JSON | NASTY | st.lists(NASTY, max_size=3),
    max_size=8,
)


@given(name=st.sampled_from(sorted(UNDERSTOOD)), subcommand=SUBCOMMANDS, parameters=PARAMETERS)
def test_any_step_is_understood_or_refused_with_a_sentence(
    name: str, subcommand: str, parameters: dict[str, Any]
) -> None:
    body = {"parameters": {"hosts": ["h"], **parameters, "subcommand": subcommand}}
    try:
        UNDERSTOOD[name](step_in(body, name, PATIENCE))
    except StepFailed as error:
        require_sentence(error)


@given(body=JSON)
def test_any_body_is_a_step_or_refused(body: Any) -> None:
    try:
        step_in(body, "noop", PATIENCE)
    except StepFailed as error:
        require_sentence(error)


@given(name=st.sampled_from([one.name for one in STOCK]), config=JSON)
def test_any_configuration_is_taken_or_refused_with_a_sentence(name: str, config: Any) -> None:
    worker_class: Any = stock_worker(name)
    worker = object.__new__(worker_class)
    worker.keepers = []
    values = config if isinstance(config, dict) else {"commands": config, "hosts": config}
    try:
        worker.configured(configuration(values, "FILE"))
    except DefinitionError as error:
        require_sentence(error)


# shell


@given(
    a=NASTY | TEXT,
    items=st.lists(NASTY | TEXT, max_size=4),
    dash=st.booleans(),
)
def test_a_step_changes_the_words_it_may_and_no_others(
    a: str, items: list[str], dash: bool
) -> None:
    rule = {"pattern": "(?s:.*)", "dash": dash}
    command = listed_command(
        "Go",
        keys({
            "argv": [sys.executable, "--a={a}", "{a}", "{b...}", "--", "{{a}}", "end"],
            "parameters": {"a": rule, "b": {**rule, "list": True}},
        }),
    )  # fmt: skip
    try:
        argv = command.argv(step({"a": a, "b": items}))
    except StepFailed:
        given_ = [a, *items]
        control = any(re.search(r"[\x00-\x1f\x7f]", one) for one in given_)
        assert control or (not dash and any(one.startswith("-") for one in given_))
        return
    assert argv == [sys.executable, f"--a={a}", a, *items, "--", "{a}", "end"]


@given(value=TEXT, pattern=st.sampled_from(["[a-z]+", "[0-9]{1,3}", "x|y", r"\w+", ""]))
def test_what_stands_in_a_place_matches_from_end_to_end(value: str, pattern: str) -> None:
    command = listed_command(
        "Go",
        keys({
            "argv": [sys.executable, "{a}"],
            "parameters": {"a": {"pattern": f"(?:{pattern})"}},
        }),
    )  # fmt: skip
    try:
        argv = command.argv(step({"a": value}))
    except StepFailed:
        return
    assert re.fullmatch(pattern, argv[1])


# httprequest

ADDRESSES = st.ip_addresses()


@given(inner=st.ip_addresses(v=4))
def test_what_carries_an_inside_address_is_inside(inner: IPv4Address) -> None:
    number = int(inner)
    carriers = [
        IPv6Address(number),  # compatible
        IPv6Address((0x64FF9B << 96) | number),  # as translators write it
        IPv6Address((0x2002 << 112) | (number << 80)),  # 6to4
        IPv6Address((0x20010000 << 96) | (~number & 0xFFFFFFFF)),  # Teredo
    ]
    for carrier in carriers:
        assert not is_outside(carrier)
    mapped = IPv6Address((0xFFFF << 32) | number)
    assert is_allowed(mapped, []) == is_outside(inner)


@given(address=ADDRESSES)
def test_what_python_takes_for_private_is_never_outside(address: Any) -> None:
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        assert not is_outside(address)


@given(url=st.text(alphabet=string.printable, max_size=60) | TEXT.map(lambda t: f"http://{t}"))
def test_a_url_is_refused_or_names_one_host_in_plain_ascii(url: str) -> None:
    try:
        place = place_of(url)
    except StepFailed:
        return
    assert place.scheme in ("http", "https")
    assert re.fullmatch(r"[a-z0-9_.:-]+", place.host)
    assert 0 < place.port < 65_536
    assert re.fullmatch(r"/[!-~]*", place.target)
    assert place_of(place.origin + place.target) == place  # it has one form


@given(address=st.ip_addresses(v=4), port=st.integers(1, 65_535))
def test_an_address_written_in_any_other_way_is_no_host(address: IPv4Address, port: int) -> None:
    number = int(address)
    octets = str(address).split(".")
    forms = [
        str(number),
        hex(number),
        ".".join(f"0{int(octet):o}" for octet in octets),
        ".".join(hex(int(octet)) for octet in octets),
        f"{octets[0]}.{number & 0xFFFFFF}",
        f"{octets[0]}.{octets[1]}.{number & 0xFFFF}",
        quote("".join(f"%{ord(letter):02x}" for letter in str(address)), safe="%"),
    ]
    for form in forms:
        try:
            place = place_of(f"http://{form}:{port}/")
        except StepFailed:
            continue
        # Only what is no address in any form is left: it would have to be found by name.
        raise AssertionError((form, place))
    assert place_of(f"http://{address}:{port}/").host == str(address)


LABEL = st.text(alphabet=string.ascii_lowercase + string.digits + "-.*", max_size=12)


@given(pattern=LABEL, host=LABEL)
def test_a_pattern_allows_a_name_below_it_or_the_name_itself(pattern: str, host: str) -> None:
    try:
        (rule,) = allowed_hosts(keys({"hosts": {pattern: {}}})).hosts
        place = place_of(f"http://{host}/")
    except (DefinitionError, StepFailed):
        return
    if rule.matches(place.host):
        below = pattern.removeprefix("*")
        assert place.host == pattern.removesuffix(".") or place.host.endswith(below)


# notify


MAILISH = st.text(alphabet='ab.-+@ <>,;:"()[]\\\r\n\0é', min_size=3, max_size=12)


@given(target=TEXT | MAILISH | st.tuples(MAILISH, MAILISH).map("@".join))
def test_a_mail_address_can_end_neither_a_header_nor_a_command(target: str) -> None:
    if re.fullmatch(ADDRESS, target):
        assert target.isascii()
        assert not re.search(r"[\s<>,;:\"()\[\]\\\x00-\x1f\x7f]", target)
        assert target.count("@") == 1


# output


@given(run=TEXT | st.text(alphabet="0123456789abcdefABCDEF/.\n", min_size=22, max_size=26))
def test_what_names_a_file_is_a_plain_name(run: str) -> None:
    if is_run_id(run):
        assert re.fullmatch("[0-9a-f]{24}", run)
        assert run == Path(run).name


@given(lines=st.lists(TEXT.filter(lambda text: "\n" not in text), max_size=6), secret=TEXT)
def test_no_line_with_a_secret_is_written(lines: list[str], secret: str) -> None:
    try:
        hiding = redaction(keys({"redactions": [re.escape(secret)]}))
    except DefinitionError:
        assert secret == ""
        return
    text = "\n".join(lines)
    found = hiding.lines(text)
    assert len(found) == len(text.removesuffix("\n").split("\n"))
    assert all(line == REDACTED or secret not in line for line in found)

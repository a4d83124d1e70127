"""What a store in PostgreSQL says when it is refused something, and never says: a password."""

import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from headway.adapters.opening import open_store
from headway.adapters.postgres import PostgresDatabase
from headway.adapters.sql_store import SqlStore
from headway.errors import HeadwayError, Refused, Rejected, Unavailable
from headway.jobs.states import RunState
from headway.ports.leases import CORE
from headway.ports.store import Line
from headway.runtime.deploying import deploy, read_release
from headway.runtime.stored_playbooks import add, edit
from headway.testing.kept_workers import noted, presence
from headway.testing.playbooks import SHOP, typed
from headway.testing.stores import EVER, RUN, launch, owner, passed, rows_of
from headway.testing.tokens import token
from tests.services.postgres import Postgres

pytestmark = pytest.mark.services

PLAYBOOK = b"{group: a, name: n, lock: [l], execution: [{hosts: [h], steps: [noop:Hello]}]}"


@pytest.fixture
def store(postgres: Postgres) -> Iterator[SqlStore]:
    """With one run that goes on."""
    with closing(open_store(postgres.url)) as opened:
        opened.begin(RUN, launch(), "{}", 3, owner(), 1)
        yield opened


def url_of(postgres: Postgres, user: str, **options: str) -> str:
    changed = postgres.url.replace("user=headway", f"user={user}")
    return changed + "".join(f"&{name}={quote(value)}" for name, value in options.items())


# Refusals


def admin(postgres: Postgres, *statements: str) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@contextmanager
def role(postgres: Postgres, name: str, *options: str) -> Iterator[str]:
    """A role that may connect and nothing else; the URL by which it does."""
    admin(postgres, f"CREATE ROLE {name} LOGIN {' '.join(options)}")
    try:
        yield url_of(postgres, name)
    finally:
        admin(postgres, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_too_many_connections_is_said(postgres: Postgres, store: SqlStore) -> None:
    with (
        role(postgres, "crowded", "CONNECTION LIMIT 1") as url,
        closing(PostgresDatabase(url)),
        pytest.raises(Unavailable, match="too many connections"),
    ):
        PostgresDatabase(url)


def test_a_database_that_takes_no_writes_is_said(postgres: Postgres, store: SqlStore) -> None:
    ((name,),) = store._database.query("SELECT current_database()")
    admin(postgres, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with closing(open_store(postgres.url)) as standby:
        assert standby.find(RUN).id == RUN
        with pytest.raises(Unavailable, match="Name the primary server"):
            standby.beat(RUN, 1)


def append_often(store: SqlStore, lines: list[Line]) -> None:
    for _ in range(20):
        store.append(RUN, 1, 1, 2, [], lines=lines)


def test_a_full_disk_is_said_and_the_store_goes_on_when_there_is_room(
    postgres: Postgres, tmp_path: Path
) -> None:
    place = Path(postgres.url.split("host=")[1].split("&")[0].replace("%2F", "/")) / "small"
    place.mkdir()
    options = f"size=40m,uid={place.parent.stat().st_uid},mode=700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount")
    ballast = place / "ballast"
    try:
        admin(
            postgres,
            f"CREATE TABLESPACE small LOCATION '{place}'",
            "CREATE DATABASE full_one TEMPLATE template0 TABLESPACE small",
        )
        url = postgres.url.replace(postgres.url.split("/")[3].split("?")[0], "full_one")
        with closing(open_store(url)) as store:
            store.begin(RUN, launch(), "{}", 3, owner(), 1)
            free = os.statvfs(place)
            ballast.write_bytes(bytes(free.f_bavail * free.f_frsize - 2**20))
            lines = [Line(1, 1, 1, "out", os.urandom(4_000).hex())] * 500
            with pytest.raises(Unavailable, match="disk is full: make room"):
                append_often(store, lines)
            ballast.unlink()
            store.append(RUN, 1, 1, 2, [passed(1)], lines=lines)
            assert rows_of(store, RUN) == [passed(1)]
    finally:
        admin(postgres, "DROP DATABASE IF EXISTS full_one", "DROP TABLESPACE IF EXISTS small")
        subprocess.run(["umount", str(place)], check=True)


def test_a_database_that_is_not_there_is_said(postgres: Postgres) -> None:
    with pytest.raises(Unavailable, match=r"createdb"):
        open_store("postgresql:///nowhere?" + postgres.url.split("?")[1])
    with pytest.raises(Unavailable, match=r"createuser"):
        open_store(url_of(postgres, "nobody_at_all"))


def test_a_database_whose_text_is_not_unicode_is_refused(postgres: Postgres) -> None:
    admin(postgres, "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(Rejected, match="holds text in LATIN1, the store needs UTF8"):
            open_store("postgresql:///latin?" + postgres.url.split("?")[1])
    finally:
        admin(postgres, "DROP DATABASE latin WITH (FORCE)")


# Rights


def grants(name: str) -> list[str]:
    """What the page tells to grant to a role."""
    page = Path(__file__).parents[2] / "docs/how-to/postgresql.md"
    text = page.read_text("utf-8").partition(f"<!-- role: {name} -->\n```sql\n")[2]
    return text.partition("```")[0].strip().splitlines()


def test_a_role_without_rights_is_refused(postgres: Postgres, store: SqlStore) -> None:
    with role(postgres, "stranger") as url, pytest.raises(Refused, match="permission denied"):
        open_store(url)


def test_a_writer_needs_few_rights_and_has_no_more(postgres: Postgres, store: SqlStore) -> None:
    with role(postgres, "writer") as url:
        admin(postgres, *grants("writer"))
        with closing(open_store(url)) as writer:
            epoch = writer.take(RUN, 1, owner(2))
            number = writer.ask(RUN, "cancel", {}, "me", 1)
            writer.append(
                RUN,
                epoch,
                1,
                2,
                [passed(1)],
                state=RunState.FAILED,
                lines=[Line(1, 1, 1, "out", "a line")],
                answers=[(number, "yes")],
            )
            assert writer._database.query("SELECT job FROM tries") == [(1,)]
            for statement in (
                "UPDATE events SET kind = 'failed'",
                "ALTER TABLE events DISABLE TRIGGER ALL",
                "DROP TABLE events",
                "CREATE TABLE own (n integer)",
                "UPDATE meta SET version = 9",
                "UPDATE playbook_versions SET text = ''",
                "UPDATE locks SET tag = 'b'",
                "DELETE FROM leases",
                "UPDATE tokens SET groups = ''",
                "DELETE FROM playbooks",
            ):
                with pytest.raises(Refused):
                    writer._database.change(statement)
            assert writer.prune(EVER, 0) == 1
            writer.add_playbook(SHOP, "shop", "Bring out", typed(), "me", 5)
            assert writer.edit_playbook(SHOP, 1, "Bring out", typed("2"), "me", 6) == 2
            writer.remove_playbook(SHOP, "me", 7)
            locked = launch(locks=["a"])
            writer.enqueue(RUN, locked, "{}", 3, 1, key="key")
            epoch = writer.take(RUN, 0, owner(2))
            writer.append(RUN, epoch, 1, 2, [], state=RunState.SUCCEEDED)
            writer.take(RUN, epoch, owner(2), next_lap=True)
            assert [lock.tag for lock in writer.locks()] == ["a"]
            writer.renew(CORE, writer.lease(CORE, owner(2), 60.0))
            noted(writer, presence())
            noted(writer, presence(number=2))
            assert [one.presence for one in writer.workers(9)] == [presence(number=2)]
            assert writer.forget_workers(EVER) == 0
            assert writer.tasks.forget(EVER, EVER) == (0, 0)
            assert writer.token("digest of t1") is None
            with pytest.raises(Refused):
                writer.add_token(token())
            admin(postgres, *grants("keeper"))
            writer.add_token(token())
            writer.revoke_token("t1", 9)


def test_an_api_writes_down_what_is_asked_of_it_and_nothing_else(
    postgres: Postgres, store: SqlStore
) -> None:
    with role(postgres, "api") as url:
        admin(postgres, *grants("api"))
        store.add_token(token())
        with closing(open_store(url)) as api:
            playbook = add(api, PLAYBOOK, "YAML", "it", who="me")
            edit(api, playbook, PLAYBOOK + b"\n", "YAML", "it", who="me")
            release = read_release(api, api.find_playbook(playbook.id))
            run = deploy(api, release, {}, who="ci", key="key").run
            assert deploy(api, release, {}, who="ci", key="key") == (run, False)
            assert [lock.run for lock in api.locks()] == [run]
            assert api.request(api.ask(run, "cancel", {}, "ci", 1)) is not None
            assert [one.id for one in api.tokens()] == ["t1"]
            assert api.workers(9) == []
            api.remove_playbook(playbook.id, "me", 7)
            for refused in (
                lambda: api.take(run, 0, owner(2)),
                lambda: api.take(RUN, 1, owner(2)),
                lambda: api.beat(RUN, 1),
                lambda: api.lease(CORE, owner(2), 60.0),
                lambda: api.add_token(token()),
                lambda: api.revoke_token("t1", 9),
                lambda: noted(api, presence()),
                lambda: api._database.change("UPDATE requests SET answer = 'yes'"),
            ):
                with pytest.raises(Refused):
                    refused()


def test_a_reader_reads_and_does_nothing_else(postgres: Postgres, store: SqlStore) -> None:
    store.append(RUN, 1, 1, 2, [passed(1)])
    with role(postgres, "reader") as url:
        admin(postgres, *grants("reader"))
        with closing(open_store(url)) as reader:
            assert rows_of(reader, RUN) == [passed(1)]
            assert reader.playbooks() == []
            assert (reader.locks(), reader.core_runs(unowned=True)) == ([], [])
            with pytest.raises(Refused):
                reader.beat(RUN, 1)
            with pytest.raises(Refused):
                reader.add_playbook(SHOP, "shop", "Bring out", typed(), "me", 5)


def test_a_store_may_live_in_a_schema_of_its_own(postgres: Postgres) -> None:
    admin(postgres, "CREATE SCHEMA ours", "CREATE TABLE public.runs (miles integer)")
    with closing(open_store(url_of(postgres, "headway", options="-csearch_path=ours"))) as store:
        store.begin(RUN, launch(), "{}", 3, owner(), 1)
        assert store.find(None).id == RUN
    admin(postgres, "SELECT no FROM ours.runs", "SELECT miles FROM public.runs")


# Secrets and names


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:geheim@127.0.0.1:1/db",
        "postgresql://me:ge%20heim@geheim@127.0.0.1:port/db",
        "postgresql://me:geheim:x@127.0.0.1:77777777/db",
        "postgresql://me:1/geheim@127.0.0.1/db",
        "postgresql://me:x/geheim@127.0.0.1/db",
        "postgresql://me:x@geheim/x@127.0.0.1/db",
        "postgresql://me:geheim%zz@127.0.0.1/db",
        "postgresql://127.0.0.1:1/db?password=geheim&user=me",
        "postgresql://127.0.0.1:1/db?password=geheim&no_such_setting=geheim",
        "postgresql:///db?host=/nowhere&passfile=/geheim&password=geheim",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    with pytest.raises(HeadwayError) as caught:
        open_store(url)
    shown = "".join(traceback.format_exception(caught.value))
    assert "geheim" not in shown


def test_where_a_store_is_says_all_but_the_password(postgres: Postgres) -> None:
    url = url_of(postgres, "headway", password="geheim", application_name="x")
    with closing(open_store(url)) as store:
        directory = postgres.url.split("host=")[1].split("&")[0].replace("%2F", "/")
        database = postgres.url.split("/")[3].split("?")[0]
        assert store.place == f"postgresql://headway@/{database}?host={directory}"
        assert "geheim" not in repr(store._database)


@pytest.mark.parametrize(
    "url", ["postgresql://[::1", "postgresql://h:port/db", "postgresql://h/db?no=such"]
)
def test_a_url_that_is_none_gets_one_clear_sentence(url: str) -> None:
    with pytest.raises(Rejected, match="one looks like postgresql://user@host:5432/database"):
        open_store(url)


def test_without_psycopg_the_line_to_type_is_said() -> None:
    program = """
import sys
sys.modules["psycopg"] = None
from headway.adapters.opening import open_store
from headway.errors import Unavailable
try:
    open_store("postgresql://here/db")
except Unavailable as error:
    print(error)
"""
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert told.stdout == (
        "a store in PostgreSQL needs psycopg: type pip install 'headway[postgres]'\n"
    ), told.stderr


def test_only_a_store_in_postgresql_imports_psycopg(tmp_path: Path) -> None:
    program = """
import sys
from headway.adapters.opening import open_store
open_store(sys.argv[1]).close()
print("psycopg" in sys.modules)
"""
    told = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "s.db")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "False\n"

"""PostgreSQL's own troubles: leases, servers that are gone, hang or refuse, connections that break."""

from __future__ import annotations

import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from reconciler import alive
from reconciler.model.actions import StartReplica
from reconciler.model.events import Event
from reconciler.model.recorded import SignOfLife
from reconciler.model.state import State
from reconciler.ports import AlreadyRunning, LeadershipUnknown, Record, Unavailable
from reconciler.store import SqlReader, SqlStore, database, fence, open_reader, open_store
from reconciler.store.leadership import Lease
from tests.support import upgrade
from tests.support.postgres import PostgresServer, serving, standing_by
from tests.support.records import NOW, record, state
from tests.support.relay import relay
from tests.support.stores import Place
from tests.support.tcp import unused_port
from tests.support.waiting import eventually

EVENT = Event(NOW, "app", "news")

pytestmark = pytest.mark.postgres


@pytest.fixture
def hosts(postgres_url: str, tmp_path: Path) -> tuple[Place, Place]:
    """Two hosts, each with a state directory of its own, and one database."""
    stack = ExitStack()
    return Place(postgres_url, tmp_path / "here", stack), Place(postgres_url, tmp_path / "there", stack)


def end_leases(place: Place) -> None:
    """Let the database's clock run ahead of every lease."""
    place.query("UPDATE leases SET expires_at = expires_at - 3600")


def test_a_lease_keeps_other_hosts_out(hosts: tuple[Place, Place]) -> None:
    here, there = hosts
    with here.stack:
        here.store()
        with pytest.raises(AlreadyRunning, match=r"another controller \(pid \d+ on .*given up after 30 s"):
            there.store()
        there.store("other")


def test_a_lease_given_back_is_free_at_once(hosts: tuple[Place, Place]) -> None:
    here, there = hosts
    with here.stack:
        here.store().close()
        there.store()


def test_every_write_renews_the_lease(hosts: tuple[Place, Place]) -> None:
    here, there = hosts
    with here.stack:
        store = here.store()
        end_leases(here)
        store.save(record())
        with pytest.raises(AlreadyRunning):
            there.store()


def test_who_was_paused_past_its_lease_writes_nothing_more(hosts: tuple[Place, Place]) -> None:
    here, there = hosts
    with here.stack:
        paused = here.store()
        paused.save(record())
        end_leases(here)
        there.store().save(record(state=state(revision="of the successor")))
        with pytest.raises(AlreadyRunning, match="has taken instance 'default' over"):
            paused.save(record(NOW + 1, state=state(revision="too late")))
        assert there.reader().state().revision == "of the successor"
        paused.close()
        with pytest.raises(AlreadyRunning):
            here.store()


def test_a_sign_of_life_is_read_on_other_hosts_and_dated_by_their_own_clock(hosts: tuple[Place, Place]) -> None:
    here, there = hosts
    sign = SignOfLife(NOW, "here", 77, NOW - 600, "the controller is waiting for nginx", NOW - 9)
    with here.stack:
        store = here.store()
        store.save(record())
        assert there.reader().recorded().sign is None
        store.announce(sign)
        here.query("UPDATE leases SET seen_at = seen_at - 100")
        read = there.reader().recorded().sign
        assert read is not None
        assert replace(read, at=NOW) == sign
        assert time.time() - read.at == pytest.approx(100, abs=30)
        alive.write(here.state_dir / "alive", replace(sign, at=time.time(), ended="stopped"))
        assert here.reader().recorded().sign.ended == "stopped", "the later one counts"  # type: ignore[union-attr]
        alive.write(here.state_dir / "alive", replace(sign, at=time.time() - 3600, ended="stopped"))
        assert here.reader().recorded().sign.ended == ""  # type: ignore[union-attr]


def test_who_was_followed_by_another_host_gives_no_sign_of_life_any_more(hosts: tuple[Place, Place]) -> None:
    here, there = hosts
    with here.stack:
        paused = here.store()
        end_leases(here)
        there.store().save(record())
        paused.announce(SignOfLife(NOW, "here", 77, NOW))
        assert there.reader().recorded().sign is None


def test_whoever_was_paused_past_its_lease_changes_nothing_more(hosts: tuple[Place, Place]) -> None:
    here, there = hosts
    with here.stack:
        paused = here.store()
        paused.fence()
        end_leases(here)
        paused.fence()
        successor = there.store()
        with pytest.raises(AlreadyRunning, match="has taken instance 'default' over"):
            paused.fence()
        successor.fence()


def test_an_answer_to_who_leads_that_is_as_old_as_a_pause_is_asked_for_again(
    hosts: tuple[Place, Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process is stopped after its question was answered, and goes on when another has taken over."""
    here, there = hosts
    with here.stack:
        paused = here.store()
        monkeypatch.setattr(fence, "_STALE_SECONDS", 0.5)
        answers = iter((lambda: (end_leases(here), there.store(), time.sleep(0.6)), lambda: None))
        check = Lease.check

        def check_and_pause(lease: Lease, connection: sa.Connection) -> None:
            check(lease, connection)
            next(answers)()

        monkeypatch.setattr(Lease, "check", check_and_pause)
        with pytest.raises(AlreadyRunning):
            paused.fence()


def test_as_long_as_the_database_is_away_it_cannot_be_told_who_leads(tmp_path: Path) -> None:
    with serving() as server, ExitStack() as stack:
        store = Place(server.create_database(), tmp_path, stack).store()
        store.fence()
        server.stop()
        with pytest.raises(LeadershipUnknown, match="taken over can't be told: PostgreSQL database"):
            store.fence()
        with pytest.raises(Unavailable):
            store.renew()


def test_a_database_that_has_stopped_talking_holds_nobody_up_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "QUESTION_SECONDS", 0.5)
    monkeypatch.setattr(database, "TRANSACTION_SECONDS", 1.0)
    monkeypatch.setattr(database, "CONNECT_TIMEOUT_SECONDS", 2)  # libpq's least
    with serving() as server, ExitStack() as stack:
        here, port = Place(server.create_database(), tmp_path, stack), unused_port()
        with relay(("127.0.0.1", port), ("127.0.0.1", server.port)) as line:
            store = Place(here.url.replace(str(server.port), str(port)), tmp_path, stack).store()  # type: ignore[union-attr]
            store.fence()
            line.flowing.clear()
            began = time.monotonic()
            with pytest.raises(LeadershipUnknown):
                store.fence()
            with pytest.raises(Unavailable):
                store.save(record())
            assert time.monotonic() - began < 30
            line.flowing.set()
            store.save(record())
            store.fence()


def test_a_lease_is_held_for_longer_by_its_holder_alone(hosts: tuple[Place, Place]) -> None:
    here, there = hosts
    with here.stack:
        store = here.store()
        end_leases(here)
        store.renew()
        with pytest.raises(AlreadyRunning):
            there.store()
        end_leases(here)
        there.store()
        with pytest.raises(AlreadyRunning, match="has taken instance 'default' over"):
            store.renew()


def test_whoever_is_refused_the_lease_leaves_it_to_its_holder(hosts: tuple[Place, Place]) -> None:
    here, there = hosts
    with here.stack:
        store = here.store()
        for _ in range(2):
            with pytest.raises(AlreadyRunning):
                there.store()
        store.fence()
        store.save(record())


def test_a_store_that_is_not_prepared_takes_no_lease_before_it_loads(hosts: tuple[Place, Place]) -> None:
    here, there = hosts
    with here.stack:
        waiting = open_store(here.url, state_dir=here.state_dir, instance="default", prepared=False)
        here.stack.callback(waiting.close)
        with pytest.raises(LeadershipUnknown, match="does not hold its instance"):
            waiting.fence()
        there.store().close()
        assert waiting.load() == State()
        waiting.fence()
        with pytest.raises(AlreadyRunning):
            there.store()


def test_a_commit_whose_answer_is_lost_repeats_nothing(
    hosts: tuple[Place, Place], postgres_server: PostgresServer
) -> None:
    here, _ = hosts
    port = unused_port()
    with here.stack, relay(("127.0.0.1", port), ("127.0.0.1", postgres_server.port)) as line:
        assert here.url is not None
        store = Place(here.url.replace(str(postgres_server.port), str(port)), here.state_dir, here.stack).store()
        store.load()
        store.save(record())
        start = StartReplica("web", "web-1", "id1", "test")
        news = record(NOW + 1, apps=2, events=(EVENT, EVENT), intents=(start,))
        news = replace(news, state=replace(news.state, revision="next"))
        line.unanswered = b"COMMIT"
        with pytest.raises(Unavailable):
            store.save(news)
        line.unanswered = b""
        # What was decided is decided once more, a little later, since nobody knows that it was recorded.
        later = tuple(replace(event, at=NOW + 3) for event in news.events)
        more = Event(NOW + 3, "app", "more news")
        store.save(replace(news, at=NOW + 3, events=(*later, more)))
        assert sorted(event.message for event in here.reader().events()) == ["more news", "news", "news"]
        assert [revision.revision for revision in here.reader().revisions()].count("next") == 1
        assert [(action.planned_at, action.outcome) for action in here.reader().actions()] == [(NOW + 3, "pending")]
        assert here.reader().state() == news.state


def test_a_commit_that_did_not_arrive_is_told_from_one_that_did(
    hosts: tuple[Place, Place], postgres_server: PostgresServer
) -> None:
    here, _ = hosts
    port = unused_port()
    with here.stack, relay(("127.0.0.1", port), ("127.0.0.1", postgres_server.port)) as line:
        assert here.url is not None
        store = Place(here.url.replace(str(postgres_server.port), str(port)), here.state_dir, here.stack).store()
        store.load()
        store.save(record())
        news = record(NOW + 1, apps=2, events=(EVENT,))
        line.refused = b"COMMIT"
        for _ in range(2):
            with pytest.raises(Unavailable):
                store.save(news)
        line.refused = b""
        store.save(news)
        assert here.reader().events() == (EVENT,)
        assert here.reader().state() == news.state


def test_a_database_that_takes_no_writes_is_waited_for(
    hosts: tuple[Place, Place], postgres_server: PostgresServer
) -> None:
    here, _ = hosts
    assert here.url is not None
    with here.stack:
        store = here.store()
        store.save(record())
        postgres_server.set_read_only(here.url, read_only=True)
        with pytest.raises(
            Unavailable, match="takes no writes at this time .*read-only.*target_session_attrs=read-write"
        ):
            store.save(record(NOW + 1, events=(EVENT,)))
        store.close()
        late = open_store(here.url, state_dir=here.state_dir, instance="default", prepared=False)
        here.stack.callback(late.close)
        with pytest.raises(Unavailable, match="takes no writes at this time"):
            late.load()
        postgres_server.set_read_only(here.url, read_only=False)
        assert late.load() == record().state
        late.save(record(NOW + 1, events=(EVENT,)))
        assert here.reader().events() == (EVENT,)


@pytest.mark.parametrize("old_one", ["ends", "hangs"])
def test_a_controller_follows_its_database_to_the_server_that_is_promoted(
    tmp_path: Path, old_one: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "QUESTION_SECONDS", 1.0)
    monkeypatch.setattr(database, "TRANSACTION_SECONDS", 2.0)
    monkeypatch.setattr(database, "CONNECT_TIMEOUT_SECONDS", 2)
    with serving() as primary, ExitStack() as stack:
        name = primary.create_database().rpartition("/")[2]
        with standing_by(primary) as standby:
            hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in (primary, standby))
            url = primary.url(name).replace(f"127.0.0.1:{primary.port}", "")
            place = Place(f"{url}?{hosts}&target_session_attrs=read-write", tmp_path, stack)
            store = place.store()
            store.save(record(events=(EVENT,)))
            followed = Place(standby.url(name), tmp_path, stack)
            eventually(lambda: _has_arrived(followed, EVENT))
            if old_one == "ends":
                primary.stop()
            else:
                primary.hang()
            with pytest.raises(Unavailable, match=f"127.0.0.1:{primary.port} or 127.0.0.1:{standby.port}"):
                store.save(record(NOW + 1, apps=2))
            with pytest.raises(LeadershipUnknown):
                store.fence()
            standby.execute("SELECT pg_promote()")
            eventually(lambda: _saved(store, record(NOW + 2, apps=2)), within_seconds=60)
            store.fence()
            assert followed.reader().state() == record(apps=2).state


def _has_arrived(place: Place, event: Event) -> bool:
    with suppress(Unavailable):
        return place.reader().events() == (event,)
    return False


def _saved(store: SqlStore, news: Record) -> bool:
    try:
        store.save(news)
    except Unavailable:
        return False
    return True


@contextmanager
def hold(place: Place, statement: str) -> Iterator[None]:
    """Leave a transaction open that has executed the statement."""
    engine = sa.create_engine(place.url or "", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(statement))
        yield


def test_a_connection_to_postgresql_that_broke_meanwhile_is_no_trouble(hosts: tuple[Place, Place]) -> None:
    here, _ = hosts
    with here.stack:
        store = here.store()
        store.save(record())
        here.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        store.save(record(NOW + 1, state=state(revision="next")))
        assert here.reader().state().revision == "next"


def test_a_failed_write_leaves_nothing_and_can_be_repeated(hosts: tuple[Place, Place]) -> None:
    here, _ = hosts
    with here.stack:
        store = here.store()
        store.save(record())
        here.query("ALTER TABLE events RENAME TO elsewhere")
        news = record(NOW + 1, apps=2, events=(replace(EVENT, at=NOW + 1),))
        with pytest.raises(Unavailable, match="events"):
            store.save(news)
        here.query("ALTER TABLE elsewhere RENAME TO events")
        assert here.reader().state() == record().state
        store.save(news)
        assert here.reader().state() == news.state
        assert len(here.reader().events()) == 1


def opened(url: str, tmp_path: Path) -> str:
    """What is said when a store can't be opened."""
    with pytest.raises(Unavailable) as caught:
        open_store(url, state_dir=tmp_path, instance="default")
    with pytest.raises(Unavailable):
        open_reader(url, state_dir=tmp_path, instance="default").recorded()
    return str(caught.value)


def test_a_postgresql_that_is_gone_is_said_without_the_password(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        said = opened(f"postgresql+psycopg2://me:hunter2hunter2@127.0.0.1:{port}/state", tmp_path)
    assert f"PostgreSQL database state at 127.0.0.1:{port}: " in said
    assert "check that the server runs" in said
    assert "hunter2" not in said


def test_a_short_password_garbles_no_message_of_a_postgresql(tmp_path: Path) -> None:
    said = opened("postgresql+psycopg2://me:on@127.0.0.1/state?sslmode=nonsense", tmp_path)
    assert 'invalid sslmode value: "nonsense"' in said
    assert "*" not in said


def test_a_wrong_password_is_said_without_it(postgres_server: PostgresServer, tmp_path: Path) -> None:
    said = opened(postgres_server.url("postgres", password="hunter2hunter2"), tmp_path)
    assert "password authentication failed" in said
    assert "hunter2" not in said


def test_a_password_that_the_driver_repeats_is_redacted(tmp_path: Path) -> None:
    """libpq names the option it can't parse, value and all."""
    said = opened("postgresql+psycopg2://me:hunter2@127.0.0.1/state?sslmode=hunter2&password=hunter2", tmp_path)
    assert 'invalid sslmode value: "***"' in said
    assert "hunter2" not in said


@pytest.mark.parametrize("url", ["mysql://me:hunter2@h/db", "postgresql+psycopg2://me:hunter2@h:port/x", "hunter2"])
def test_what_is_no_url_of_a_postgresql_is_said_without_repeating_it(url: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"postgresql\+psycopg2://USER") as caught:
        open_store(url, state_dir=tmp_path, instance="default")
    assert "hunter2" not in str(caught.value)


OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")


class Roles:
    """A database with a controller and a reader, made by the very statements of the documentation."""

    def __init__(self, server: PostgresServer, tmp_path: Path) -> None:
        self.name = f"r{secrets.token_hex(6)}"
        self._url = make_url(server.url("postgres"))
        self._tmp_path = tmp_path
        for_administrators, in_the_database = re.findall(r"```sql\n(.*?)```", OPERATIONS, re.DOTALL)
        self.run(for_administrators, database="postgres")
        self.run(in_the_database)
        self.store().close()

    def run(self, statements: str, *, database: str | None = None) -> None:
        """These statements, with names of the test's own in place of those of the documentation."""
        url = self._url.set(database=database or self.name)
        engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in filter(None, map(str.strip, statements.split(";"))):
                connection.execute(sa.text(re.sub(r"\borchestry(?=_status\b|\b)", self.name, statement)))

    def store(self) -> SqlStore:
        """What the controller opens."""
        return open_store(self._of(self.name, "correct horse"), state_dir=self._tmp_path, instance="default")

    def reader(self) -> SqlReader:
        url = self._of(f"{self.name}_status", "battery staple")
        return open_reader(url, state_dir=self._tmp_path, instance="default")

    def _of(self, role: str, password: str) -> str:
        url = self._url.set(username=role, password=password, database=self.name)
        return url.render_as_string(hide_password=False)


@pytest.fixture
def roles(postgres_server: PostgresServer, tmp_path: Path) -> Roles:
    return Roles(postgres_server, tmp_path)


def write(roles: Roles) -> None:
    with closing(roles.store()) as store:
        store.load()
        store.save(record(events=(EVENT,)))


def test_the_role_of_the_documentation_for_readers_reads_everything_and_writes_nothing(roles: Roles) -> None:
    write(roles)
    reader = roles.reader()
    assert set(reader.recorded().apps) == {"web"}
    assert reader.events() == (EVENT,)
    assert (reader.actions(), len(reader.revisions()), reader.decisions("web"), reader.samples("web")) == (
        (),
        1,
        (),
        (),
    )
    roles.run("SET ROLE orchestry; CREATE TABLE of_a_later_version (id int)")
    roles.run("SET ROLE orchestry_status; SELECT * FROM of_a_later_version")
    with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
        roles.run("SET ROLE orchestry_status; DELETE FROM events")


def assert_told(roles: Roles, taken: str, told: str, act: Callable[[], object]) -> None:
    """Assert that an act which lacks the right that was taken is refused, with what grants it."""
    roles.run(taken)
    with pytest.raises(Unavailable) as failed:
        act()
    assert str(failed.value).endswith(f": {told.format(roles.name)}")


@pytest.mark.parametrize(
    ("taken", "told"),
    [
        (
            "REVOKE SELECT ON controllers FROM orchestry_status",
            "the role {0}_status may not SELECT on table controllers; "
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {0}_status",
        ),
        (
            "REVOKE USAGE ON SCHEMA public FROM orchestry_status, public",
            "the role {0}_status may not look into any schema; GRANT USAGE ON SCHEMA public TO {0}_status",
        ),
        (
            "REVOKE CONNECT ON DATABASE orchestry FROM orchestry_status, public",
            "the role {0}_status may not connect to database {0}; GRANT CONNECT ON DATABASE {0} TO {0}_status",
        ),
    ],
)
def test_a_right_that_a_reader_lacks_is_told_with_what_grants_it(roles: Roles, taken: str, told: str) -> None:
    assert_told(roles, taken, told, lambda: roles.reader().recorded())


WRITING = (
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {0}; "
    "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {0}"
)


@pytest.mark.parametrize(
    ("taken", "told"),
    [
        ("REVOKE INSERT ON events FROM orchestry", f"the role {{0}} may not INSERT on table events; {WRITING}"),
        (
            "REVOKE ALL ON SEQUENCE events_id_seq FROM orchestry",
            f"the role {{0}} may not INSERT on sequence events_id_seq; {WRITING}",
        ),
        (
            "REVOKE SELECT ON alembic_version FROM orchestry",
            f"the role {{0}} may not SELECT on table alembic_version; {WRITING}",
        ),
        (
            "DROP TABLE alembic_version; ALTER SCHEMA public OWNER TO CURRENT_USER",
            "the role {0} may not CREATE in schema public; GRANT USAGE, CREATE ON SCHEMA public TO {0}",
        ),
        (
            "UPDATE alembic_version SET version_num = '0001'; ALTER TABLE applications OWNER TO CURRENT_USER",
            "the role {0} may not change applications, which another role owns; GRANT that role TO {0}",
        ),
    ],
)
def test_a_right_that_the_controller_lacks_is_told_with_what_grants_it(roles: Roles, taken: str, told: str) -> None:
    assert_told(roles, taken, told, lambda: write(roles))


def test_a_postgresql_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "CONNECT_TIMEOUT_SECONDS", 2)  # libpq's least
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        url = f"postgresql+psycopg2://me:secret@127.0.0.1:{silent.getsockname()[1]}/state"
        with pytest.raises(Unavailable, match="check that the server runs"):
            open_store(url, state_dir=tmp_path, instance="default")
        assert time.monotonic() - began < 10


def test_a_statement_that_takes_postgresql_too_long_is_given_up(
    hosts: tuple[Place, Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "STATEMENT_TIMEOUT_SECONDS", 1)
    here, _ = hosts
    with here.stack:
        store = here.store()
        store.save(record())
        with hold(here, "LOCK TABLE controllers IN ACCESS EXCLUSIVE MODE"), pytest.raises(Unavailable, match="timeout"):
            store.save(record(NOW + 1, state=state(revision="next")))
        store.save(record(NOW + 1, state=state(revision="next")))
        assert here.reader().state().revision == "next"


def test_a_database_of_version_1_0_0_is_upgraded_in_place(postgres_url: str, tmp_path: Path) -> None:
    upgrade.restore_postgres(postgres_url)
    moment, reader = upgrade.moment(), open_reader(postgres_url, state_dir=tmp_path, instance="default")
    with closing(open_store(postgres_url, state_dir=tmp_path, instance="default")) as store:
        held = store.load()
        assert upgrade.explained(reader, moment["now"]) == upgrade.recorded("explain.txt").read_text("utf-8")
        store.save(Record(moment["now"], held, {}, events=(EVENT,)))
        assert store.notices == ()
    case = moment["decisions"]["at once"]
    decided = upgrade.decided(held, moment["seen"], case)
    assert upgrade.told_once(decided) == ["mailer"]
    assert upgrade.comparable(decided) == upgrade.comparable(case["decided"])
    assert reader.state() == held

"""Postgres: the rows that Feast itself would write, rights, restarts, locks, time zones, and what its errors say."""

import json
import threading

import numpy as np
import psycopg
import pytest
from feast.infra.online_stores.postgres_online_store.postgres import PostgreSQLOnlineStore
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.adapters.online_stores import DEFINITION, JUNE, MINUTE, VIEW, FeastReads, batch, number
from undertow.adapters import postgres_client
from undertow.adapters.online_postgres import PostgresOnline
from undertow.adapters.postgres_arrays import take_binary_arrays, times, vectors
from undertow.core.errors import Refused, Unavailable

pytestmark = pytest.mark.postgres


@pytest.fixture
def reads(postgres, feast_project, tmp_path):
    return FeastReads("postgres", feast_project, postgres.options(), tmp_path)


@pytest.fixture
def table(feast_project):
    return f"{feast_project}_{VIEW}"


def sink(server, project, *, on_loss=None, searched=("hidden",), **changed):
    options = server.options(**changed)
    return PostgresOnline(options=options, project=project, view=VIEW, searched=searched, on_loss=on_loss)


def rows(server, table, columns):
    with server.connect() as connection:
        return connection.execute(f'SELECT {columns} FROM "{table}" ORDER BY entity_key, feature_name').fetchall()


def test_the_rows_are_those_of_feast_but_for_our_mark_and_vectors_that_nobody_searches(postgres, reads, table):
    columns = "entity_key, feature_name, value, vector_value::text, event_ts"
    reads.write_by_feast("s08", JUNE, 0)
    feasts = rows(postgres, table, columns)
    with postgres.connect() as connection:
        connection.execute(f'TRUNCATE "{table}"')
    reads.sink().write(batch(("s08", JUNE, 0, 5)))
    gate, hidden = rows(postgres, table, columns)
    assert hidden[:2] == feasts[1][:2]
    assert hidden[4] == feasts[1][4]
    assert np.array_equal(np.float32(json.loads(hidden[3])), np.float32(json.loads(feasts[1][3])))
    assert (gate[:3], gate[3], gate[4]) == (feasts[0][:3], None, feasts[0][4])
    ours = rows(postgres, table, "value_text, (extract(epoch FROM created_ts) * 1000000)::bigint")
    assert ours == [("undertow", JUNE + 5)] * 2


def test_it_needs_no_column_but_feasts(postgres, reads, table):
    before = rows(postgres, table, "*")
    question = "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY 1"
    with postgres.connect() as connection:
        made = connection.execute(question, (table,)).fetchall()
        sink(postgres, reads.project, on_loss=lambda _: None).write(batch(("s08", JUNE, 1)))
        assert connection.execute(question, (table,)).fetchall() == made
    assert before == []


@given(us=hnp.arrays(np.int64, st.integers(1, 9), elements=st.integers(-(2**55), 2**62)))
def test_times_arrive_to_the_microsecond(postgres, us):
    with postgres.connect() as connection:
        take_binary_arrays(connection)
        question = "SELECT (extract(epoch FROM one) * 1000000)::bigint FROM unnest(%s::timestamptz[]) AS one"
        found = connection.execute(question, (times(us),)).fetchall()
    assert [one for (one,) in found] == us.tolist()


@given(
    rows=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 40)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_vectors_arrive_bit_by_bit(postgres, rows):
    with postgres.connect() as connection:
        take_binary_arrays(connection)
        ((oid,),) = connection.execute("SELECT 'vector'::regtype::oid").fetchall()
        found = connection.execute("SELECT unnest(%s::vector[])::real[]", (vectors(rows, oid),), binary=True).fetchall()
    assert np.array([one for (one,) in found], np.float32).tobytes() == rows.tobytes()


def test_a_search_of_feast_ranks_as_numpy_does_and_finds_no_other_feature(postgres, reads):
    rng = np.random.default_rng(3)
    many = batch(*((f"s{place:04d}", JUNE + place, 0, 0) for place in range(3_000)))
    many.features["hidden"][:] = rng.normal(size=(3_000, 3)).astype(np.float32)
    many.features["gate"][:] = 0.5
    sink(postgres, reads.project, on_loss=lambda _: None).write(many)
    query = rng.normal(size=3)
    store, hidden = PostgreSQLOnlineStore(), many.features["hidden"].astype(np.float64)
    lengths = np.linalg.norm(hidden, axis=1) * np.linalg.norm(query)
    distances = {
        "L2": np.linalg.norm(hidden - query, axis=1),
        "cosine": 1 - hidden @ query / lengths,
        "inner_product": -hidden @ query,
        "L1": np.abs(hidden - query).sum(axis=1),
    }
    for metric, expected in distances.items():
        found = store.retrieve_online_documents_v2(
            reads.config, DEFINITION, ["hidden", "gate"], query.tolist(), 10, metric
        )
        names = [dict(zip(key.join_keys, key.entity_values, strict=True))["wearer"].string_val for _, key, _ in found]
        order = np.argsort(expected, kind="stable")[:10]
        assert names == [many.series["wearer"][place] for place in order], metric
        assert np.allclose([values["distance"].double_val for *_, values in found], expected[order], atol=1e-6), metric
        assert [values["gate"].float_list_val.val[:] for *_, values in found] == [[0.5]] * 10
    store._conn.close()


def test_without_pgvector_in_the_config_vectors_are_served_and_none_is_kept_to_search(
    postgres, feast_project, tmp_path
):
    options = postgres.options(vector_enabled=False)
    reads = FeastReads("postgres", feast_project, options, tmp_path)
    reads.sink().write(batch(("s08", JUNE, 1)))
    assert number(reads, "s08") == 1
    assert rows(postgres, f"{feast_project}_{VIEW}", "vector_value") == [(None,), (None,)]
    with pytest.raises(Refused, match=r"expected vectors of pgvector .* found bytea: .* undertow rebuild"):
        sink(postgres, feast_project).check()


def test_a_table_that_was_not_applied_says_so(postgres):
    with pytest.raises(Refused, match=rf"the table nobody_{VIEW} .* found none; run: undertow apply"):
        sink(postgres, "nobody").check()


def test_a_name_that_postgres_would_cut_off_is_refused(postgres):
    with pytest.raises(Refused, match=r"63 bytes at most, and .* has 64"):
        sink(postgres, "p" * 50).check()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"password": "another-word"}, "refuses the connection: .*password authentication failed"),
        ({"user": "nobody"}, "refuses the connection"),
        ({"database": "nowhere"}, "refuses the connection: .*does not exist"),
        ({"sslmode": "require"}, "refuses the connection: .*SSL"),
        ({"sslmode": "sometimes"}, "refuses the connection: .*sslmode value"),
        ({"sslrootcert_path": "/nowhere/ca.pem"}, r"/nowhere/ca.pem \(sslrootcert_path"),
    ],
)
def test_a_login_that_cannot_be_is_refused_and_no_password_shown(postgres, changed, said):
    with pytest.raises(Refused, match=said) as refusal:
        sink(postgres, "p", **changed).check()
    assert "another-word" not in str(refusal.value)
    assert postgres.options()["password"] not in str(refusal.value)


def test_a_server_that_is_away_is_unavailable_and_after_a_restart_the_same_sink_writes(own_postgres, tmp_path):
    reads = FeastReads("postgres", "p", own_postgres.options(), tmp_path)
    told = []
    ours = sink(own_postgres, "p", on_loss=told.append)
    ours.write(batch(("s08", JUNE, 1)))
    own_postgres.stop(kill=True)
    with pytest.raises(Unavailable, match=r"does not take writes now: .*refused"):
        ours.write(batch(("s08", JUNE, 2, 1)))
    own_postgres.start()
    assert ours.write(batch(("s08", JUNE, 2, 1))) == 1
    own_postgres.stop()
    own_postgres.start()
    assert ours.write(batch(("s08", JUNE, 3, 2))) == 1  # the connection was closed meanwhile, and nobody need know
    vars(reads.provider.online_store).pop("_conn").close()  # Feast's own stays closed for ever
    assert (number(reads, "s08"), len(told)) == (3, 1)


def test_a_standby_takes_no_writes_now(postgres, reads, table):
    ours = reads.sink()
    with postgres.connect() as connection:
        connection.execute(f"CREATE ROLE {reads.project} LOGIN PASSWORD 'hush-hush-hush'")
        connection.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE ON "{table}" TO {reads.project}')
        connection.execute(f"ALTER ROLE {reads.project} SET default_transaction_read_only = on")
    ours = sink(postgres, reads.project, user=reads.project, password="hush-hush-hush")
    with pytest.raises(Unavailable, match="it is a standby, or read-only"):
        ours.check()
    with pytest.raises(Unavailable, match="it is a standby, or read-only"):
        ours.write(batch(("s08", JUNE, 1)))


def test_a_user_who_may_only_write_needs_no_right_to_make_tables_and_one_who_may_not_is_told(postgres, reads, table):
    with postgres.connect() as connection:
        connection.execute(f"CREATE ROLE {reads.project} LOGIN PASSWORD 'hush-hush-hush'")
        connection.execute(f'GRANT SELECT ON "{table}" TO {reads.project}')
        ours = sink(postgres, reads.project, user=reads.project, password="hush-hush-hush", on_loss=lambda _: None)
        said = f'no right to INSERT, UPDATE, DELETE there: GRANT INSERT, UPDATE, DELETE ON "{table}" TO'
        with pytest.raises(Refused, match=said):
            ours.check()
        with pytest.raises(Refused, match=said):
            ours.write(batch(("s08", JUNE, 1)))
        connection.execute(f'GRANT INSERT, UPDATE, DELETE ON "{table}" TO {reads.project}')
    ours.check()
    assert ours.write(batch(("s08", JUNE, 1))) == 1
    ours.look()


def test_a_table_that_another_session_locks_is_unavailable_and_not_waited_for_without_end(
    postgres, reads, table, monkeypatch
):
    monkeypatch.setattr(postgres_client, "STATEMENT_MS", 200)
    ours = reads.sink()
    ours.check()
    with postgres.connect() as connection, connection.transaction():
        connection.execute(f'LOCK TABLE "{table}"')
        with pytest.raises(Unavailable, match="statement timeout"):
            ours.write(batch(("s08", JUNE, 1)))
    assert ours.write(batch(("s08", JUNE, 1))) == 1


def test_a_batch_that_cannot_be_written_whole_is_not_written_at_all_nor_counted(postgres, reads, table):
    told = []
    ours = sink(postgres, reads.project, on_loss=told.append)
    ours.write(batch(("s07", JUNE, 1)))
    with postgres.connect() as connection:
        connection.execute(f"ALTER TABLE \"{table}\" ADD CHECK (feature_name != 'gate' OR event_ts < '2024-06-02')")
    with pytest.raises(Refused, match="check constraint"):
        ours.write(batch(("s08", JUNE, 1), ("s09", JUNE + 2 * 1440 * MINUTE, 2)))
    assert (number(reads, "s08"), number(reads, "s09")) == (None, None)
    assert ours.write(batch(("s08", JUNE, 1))) == 1
    assert len(told) == 1  # that the store is new, and no loss


def test_two_who_write_the_same_series_in_opposite_orders_do_not_stand_in_each_others_way(postgres, reads):
    names, errors = [f"s{place}" for place in range(300)], []
    start = threading.Barrier(4)

    def write(order):
        try:
            ours = sink(postgres, reads.project, on_loss=lambda _: None)
            start.wait()
            for step in range(12):
                ours.write(batch(*((name, JUNE + step, step) for name in order)))
            ours.close()
        except Exception as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=write, args=(names[:: 1 - 2 * (place % 2)],)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert {number(reads, name) for name in names} == {11}


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_whatever_the_time_zone_of_the_server_feast_reads_the_microsecond(postgres, feast_project, tmp_path, zone):
    with postgres.connect() as connection:
        connection.execute(f"CREATE ROLE {feast_project} SUPERUSER LOGIN PASSWORD 'hush-hush-hush'")
        connection.execute(f"ALTER ROLE {feast_project} SET timezone = '{zone}'")
    options = postgres.options(user=feast_project, password="hush-hush-hush")
    reads = FeastReads("postgres", feast_project, options, tmp_path)
    reads.sink().write(batch(("s08", JUNE, 1)))
    assert reads.read("s08")[0] == JUNE


def test_commits_are_durable_where_the_database_says_that_they_need_not_be(postgres, reads):
    with postgres.connect() as connection:
        connection.execute(f"CREATE ROLE {reads.project} SUPERUSER LOGIN PASSWORD 'hush-hush-hush'")
        connection.execute(f"ALTER ROLE {reads.project} SET synchronous_commit = off")
    ours = sink(postgres, reads.project, user=reads.project, password="hush-hush-hush")
    ours.check()
    assert ours._connection.execute("SHOW synchronous_commit").fetchone() == ("on",)


def test_a_password_with_every_sign_is_sent_as_it_is(postgres, feast_project):
    password = "p w'\"\\=@:/%$ö"
    with postgres.connect() as connection:
        connection.execute(
            psycopg.sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                psycopg.sql.Identifier(feast_project), psycopg.sql.Literal(password)
            )
        )
    with pytest.raises(Refused, match="found none; run: undertow apply"):  # it was let in
        sink(postgres, "nobody", user=feast_project, password=password).check()


def test_counts_of_writers_that_ended_long_ago_are_deleted(postgres, reads, table):
    sink(postgres, reads.project, on_loss=lambda _: None).write(batch(("s08", JUNE, 1)))
    with postgres.connect() as connection:
        connection.execute(
            f"UPDATE \"{table}\" SET created_ts = now() - interval '2 days' WHERE feature_name ~ 'count'"
        )
    sink(postgres, reads.project, on_loss=lambda _: None).write(batch(("s08", JUNE, 2, 1)))
    assert len([name for (name,) in rows(postgres, table, "feature_name") if name.startswith("count:")]) == 1

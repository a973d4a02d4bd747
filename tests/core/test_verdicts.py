"""One table says whose fault an error is and what is done: each error of each adapter has a row; the page shows it."""

import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import kafka.errors
import pytest
import redis

from undertow.adapters import redis_faults
from undertow.adapters.kafka_client import LASTING as KAFKA_LASTING
from undertow.adapters.kafka_client import translate_error
from undertow.adapters.kafka_login import LoginRefused
from undertow.adapters.online_sqlite import SqliteOnline
from undertow.core.errors import Refused, Replaced, Unavailable, UndertowError
from undertow.settings.sections import KafkaSettings
from undertow.stream.verdicts import LASTING, OVERTAKEN, TABLE, UNKNOWN, WAITING, as_markdown, verdict_of

PAGE = Path(__file__).parents[2] / "deploy/OPERATIONS.md"


def kinds_of(parent: type[Exception]) -> Iterator[type[Exception]]:
    yield parent
    for kind in parent.__subclasses__():
        if kind.__module__.partition(".")[0] == parent.__module__.partition(".")[0]:
            yield from kinds_of(kind)


def made(kind: type[Exception]) -> Exception:
    try:
        return kind("as the server says")
    except (TypeError, ValueError):  # those that take more than words, or words of their own
        error = kind.__new__(kind)
        error.args = ("as the server says",)
        return error


@pytest.mark.parametrize(
    ("error", "row"),
    [
        (Refused("x"), LASTING),
        (Unavailable("x"), WAITING),
        (Replaced("x"), OVERTAKEN),
        (UndertowError("x"), UNKNOWN),
        (RuntimeError("x"), UNKNOWN),
        (MemoryError(), UNKNOWN),
        (KeyboardInterrupt(), UNKNOWN),
    ],
    ids=repr,
)
def test_an_error_has_one_row(error, row):
    assert verdict_of(error) is row


def test_only_what_may_pass_is_waited_for_and_every_row_says_what_one_reads():
    assert [row.done for row in TABLE] == ["reject", "retry", "end the fleet", "end this replica", "end this replica"]
    assert all(row.what and row.whose and row.read for row in TABLE)
    assert [row.fault for row in TABLE if row.done == "retry"] == ["unavailable"]


def test_operations_shows_the_table():
    assert as_markdown() in PAGE.read_text()


@pytest.mark.parametrize("kind", sorted(kinds_of(kafka.errors.KafkaError), key=str), ids=lambda kind: kind.__name__)
def test_every_error_of_kafkas_client_is_waited_for_or_ends_the_fleet_by_a_setting(kind):
    told = translate_error(made(kind), "commit offsets", KafkaSettings())
    lasts = issubclass(kind, (*KAFKA_LASTING, LoginRefused, kafka.errors.CommitFailedError))
    assert verdict_of(told) is (LASTING if lasts else WAITING)
    assert "kafka." in str(told)


def test_what_retrying_may_mend_is_never_refused():
    lasting = [kind for kind in kinds_of(kafka.errors.RetriableError) if issubclass(kind, KAFKA_LASTING)]
    assert lasting == []


@pytest.mark.parametrize("kind", sorted(kinds_of(redis.RedisError), key=str), ids=lambda kind: kind.__name__)
def test_every_error_of_rediss_client_is_waited_for_or_ends_the_fleet(kind):
    told = redis_faults.translate_error(made(kind), "as the server says", "Redis at h:1", "write view v")
    is_login = issubclass(kind, redis_faults.LOGIN)
    waits = issubclass(kind, redis_faults.PASSING) and not is_login
    assert verdict_of(told) is (WAITING if waits else LASTING)


@pytest.mark.parametrize("state", ["BUSY", "LOADING", "OOM", "READONLY", "MISCONF", "CLUSTERDOWN"])
def test_a_state_of_redis_that_passes_is_waited_for_even_within_a_script(state):
    told = redis_faults.translate_error(redis.ResponseError(""), f"{state} in a script", "Redis at h:1", "write view v")
    assert verdict_of(told) is WAITING


@pytest.mark.parametrize(
    ("code", "row"),
    [
        *((name, WAITING) for name in ("SQLITE_BUSY", "SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_CANTOPEN")),
        *((name, LASTING) for name in ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_AUTH", "")),
    ],
)
def test_a_code_of_sqlite_is_waited_for_or_ends_the_fleet_by_its_setting(code, row, tmp_path):
    error = sqlite3.OperationalError("as SQLite says")
    error.sqlite_errorname = code
    sink = SqliteOnline(path=tmp_path / "online.db", project="p", view="v")
    with pytest.raises(UndertowError) as caught, sink._translated():
        raise error
    assert verdict_of(caught.value) is row
    assert "online_store.path" in str(caught.value)


@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EMFILE])
def test_a_fault_of_the_network_is_waited_for(number):
    error = OSError(number, "no")
    assert verdict_of(redis_faults.translate_error(error, "no", "Redis at h:1", "write view v")) is WAITING

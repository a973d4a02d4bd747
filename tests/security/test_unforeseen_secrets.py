"""What nobody foresaw may say anything: no secret in it reaches a line, a status, or what Ray keeps of an actor."""

import base64
import json
import logging
import threading
import traceback
from types import SimpleNamespace
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fleet.one_replica import PARTITIONS, PUMPS, SIZE, Running, World, fails_when
from undertow.adapters.memory_source import Crash
from undertow.core.errors import Refused, Unavailable
from undertow.core.masking import LEAST, MASK, SHORTEST, masked, without
from undertow.core.secret_mask import SecretMask, mask_patterns, masked_faults
from undertow.settings.log_sections import OfflineSettings, StoreSettings
from undertow.settings.sections import KafkaSettings
from undertow.storage.store_path import StorePath
from undertow.telemetry.logs import JsonLines, LogRecipe, TextLines, log_to_stderr
from undertow.wiring.secrets import mask_of_fleet

SECRETS = {
    "password": "kettle-drum",
    "key file": "violin\"o'",
    "registry": "oboe-d-amore",
    "redis": "p@ss/cello",
    "extra": "bassoon é",
    "feast": "trombone:1",
    "collector": "tuba-token",
    "store": "piccolo/Key+",
}


@pytest.fixture
def recipe(tmp_path):
    """What `mask_of_fleet` reads of a recipe, with a secret of each kind; each has another place in a fleet."""
    (tmp_path / "key").write_text(SECRETS["key file"] + "\n")
    kafka = KafkaSettings(
        topic="windows",
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        username="me",
        password=SECRETS["password"],
        cert_file=tmp_path / "cert",
        key_password_file=tmp_path / "key",
        registry_credentials="me:" + SECRETS["registry"],
        extra={"socks5_proxy": "socks5://me:proxied@proxy", "vendor": {"some_password": SECRETS["extra"]}},
    )
    online = SimpleNamespace(
        type="redis",
        options={"connection_string": f"localhost:6379,username=me,password={json.dumps(SECRETS['redis'])}"},
        repo_config={"registry": {"secret_key": SECRETS["feast"]}},
    )
    otel = {"OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{SECRETS['collector']}"}
    log = StorePath.parse("s3://bucket/log", StoreSettings(secret_access_key=SECRETS["store"]).options())
    artifact = SimpleNamespace(online=online, offline=OfflineSettings(path=log))
    return SimpleNamespace(kafka=kafka, artifacts=[artifact], tell=SimpleNamespace(otel=otel))


@pytest.fixture
def mask(recipe):
    return mask_of_fleet(recipe)


def planted():
    """A text as an unforeseen error of a client has it: all that the client was given, and more."""
    user = f"me:{SECRETS['registry']}".encode()
    return (
        f"client({SECRETS!r}, {json.dumps(SECRETS)}, {[one.encode() for one in SECRETS.values()]}) of "
        f"rediss://me:{quote(SECRETS['redis'], safe='')}@host:6379 and Basic {base64.b64encode(user).decode()}: "
        + ", ".join(SECRETS.values())
    )


def held_in(text):
    """The names of the secrets that a text shows, in whatever form."""
    coded = base64.b64encode(f"me:{SECRETS['registry']}".encode()).decode()
    forms = {
        name: {one, repr(one)[1:-1], json.dumps(one)[1:-1], repr(one.encode())[2:-1], quote(one, safe="")}
        for name, one in SECRETS.items()
    }
    return [name for name, ways in {**forms, "coded": {coded}}.items() if any(way in text for way in ways)]


def test_the_planted_text_would_show_all_of_them():
    assert held_in(planted()) == [*SECRETS, "coded"]


@pytest.fixture
def loggers():
    """Python's logging and its hook for threads, restored afterwards."""
    root, ours, kafka = (logging.getLogger(name) for name in ("", "undertow", "kafka"))
    before = root.handlers, root.level, ours.handlers, ours.level, kafka.level, threading.excepthook
    root.handlers, ours.handlers = [], []
    yield
    root.handlers, ours.handlers, threading.excepthook = before[0], before[2], before[5]
    for logger, level in ((root, before[1]), (ours, before[3]), (kafka, before[4])):
        logger.setLevel(level)


def chained():
    """An error of ours over one of a vendor, with a note: Python's trace shows all three."""
    error = Unavailable(f"away: {planted()}")
    error.__cause__ = ValueError(planted())
    error.add_note(planted())
    return error


@pytest.mark.usefixtures("loggers")
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_line_of_ours_or_of_a_library_holds_a_secret(mask, log_format, capsys):
    ring = log_to_stderr(LogRecipe(log_format=log_format), fleet="f", replica="r", mask=mask)
    ours, library = logging.getLogger("undertow.x"), logging.getLogger("redis")
    ours.error("the stream crashed", exc_info=chained(), extra={"event": "crashed"})
    ours.warning("not closed: %s", chained())
    ours.warning("a line", extra={"event": "retrying", "fields": {"error": planted(), "of": [{"it": chained()}]}})
    library.warning("reconnecting to %s", planted())
    library.warning("%d servers", planted())  # Python would write the arguments of such a line as they are
    thread = threading.Thread(target=fail, name="restore")
    thread.start()
    thread.join()
    written = capsys.readouterr()
    assert held_in(written.err + written.out) == []
    assert sum(one in written.err for one in ("crashed", "not closed", "retrying", "reconnecting", "servers")) == 5
    assert "restore has ended" in written.err
    assert written.err.count("Traceback") == 1
    assert held_in(repr(ring.lines())) == []


def fail():
    raise Crash(planted())


def test_a_formatter_that_is_given_no_mask_masks_what_looks_like_a_secret():
    record = logging.LogRecord("x", 30, "", 1, "at rediss://me:%s@host, password=%s", ("tuba", "flute"), None)
    for text in (TextLines({}).format(record), JsonLines({}).format(record)):
        assert "tuba" not in text
        assert "flute" not in text


@pytest.mark.expects_errors
@pytest.mark.parametrize("kind", [Crash, Refused])
def test_no_status_of_a_replica_and_nothing_that_ray_keeps_holds_a_secret(mask, kind):
    world = World()
    world.online[PUMPS].is_away = planted()
    world.produce(2, flow=[1.0])
    fails = threading.Event()
    running = Running({PUMPS: world.opener(PUMPS, polls=fails_when(fails, kind(planted())))}, mask=mask)
    running.replica.assign(PARTITIONS, SIZE)
    blocked = running.until(lambda s: s.blocked)
    assert held_in(repr(blocked)) == []
    assert "client(" in blocked.blocked
    fails.set()
    ended = running.ended()
    assert held_in(repr(ended)) == []
    assert ended.error.startswith(f"{kind.__name__}: client(")
    kept = "".join(line for raised in running.raised for line in traceback.format_exception(raised))
    assert len(running.raised) == (kind is Crash)
    assert held_in(kept) == []


@pytest.mark.parametrize("kind", [KeyError, Refused])
def test_what_an_actor_raises_while_it_begins_holds_no_secret(mask, kind):
    with pytest.raises((RuntimeError, Refused)) as raised, masked_faults(mask):
        raise kind(planted()) from chained()
    text = "".join(traceback.format_exception(raised.value))
    assert held_in(text) == []
    assert "client(" in text
    assert isinstance(raised.value, Refused) == (kind is Refused)


def test_a_secret_that_was_replaced_stays_masked_and_the_new_one_is_masked_at_once(tmp_path):
    file = tmp_path / "secret"
    file.write_text("first-one")
    mask = SecretMask(lambda: [file.read_text()])
    file.write_text("second-one")
    assert mask("first-one, second-one") == "***, ***"
    file.unlink()
    assert mask("first-one, second-one") == "***, ***"  # a source that fails hides neither the text nor the others


def test_only_so_many_replaced_secrets_are_remembered():
    numbers = iter(range(1000))
    mask = SecretMask(lambda: [f"token-{next(numbers)}"])
    for _ in range(200):
        mask("x")
    assert mask("token-199 token-1 ") == "*** token-1 "


def test_a_file_that_cannot_be_read_hides_no_other_secret(tmp_path):
    kafka = KafkaSettings(
        topic="windows",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        username="me",
        password_file=tmp_path,  # a folder
        registry_credentials_file=tmp_path / "none",
        registry_extra={"bearer.auth.token": "tuba-token"},
    )
    assert SecretMask(kafka.secrets)("tuba-token") == "***"


@given(
    st.text(st.characters(exclude_characters="~", exclude_categories=["Cs"]), min_size=LEAST),
    st.sampled_from(["", "'", '"', "'\""]),  # `repr` quotes a secret by what stands beside it
    st.sampled_from([str, repr, json.dumps, ascii, quote, quote_plus, str.encode]),
)
def test_nothing_of_a_secret_is_left_in_whatever_form_a_text_shows_it(secret, beside, form):
    left = without(str(form(f"{beside}~{secret}~")), [secret])
    assert left[left.index("~") : left.rindex("~") + 1] == f"~{MASK}~"


def test_a_short_secret_is_masked_as_a_word_and_leaves_other_words_alone():
    assert without("undertow: tow is no password, nor 'tow'", ["tow"]) == "undertow: *** is no password, nor '***'"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=SHORTEST - 1), st.text())
def test_a_secret_of_a_letter_or_two_leaves_free_text_as_it_is_and_is_masked_where_it_is_named(secret, text):
    assert without(text, [secret]) == text
    assert masked("kafka.password", secret) in {"", MASK}


def test_a_secret_of_a_letter_is_masked_where_a_text_says_what_it_is():
    told = "redis://me:b@host, password=b, {'sasl_password': 'b'}, a bad one"
    assert SecretMask(lambda: ["b"])(told) == "redis://***@host, password=***, {'sasl_password': '***'}, a bad one"


@pytest.mark.parametrize(
    "text",
    [
        "See username= and password= there.",
        "set UNDERTOW_KAFKA__PASSWORD in the environment, or --set kafka.password_file=/run/secrets/kafka",
        "authorization by SASL; bearer tokens",
        "http://host:8081/subjects",
    ],
)
def test_our_own_advice_is_not_masked(text):
    assert mask_patterns(text) == text


def test_a_text_without_secrets_stays_as_it_is(mask):
    assert mask("windows-0@17: expected 3 of 4") == "windows-0@17: expected 3 of 4"

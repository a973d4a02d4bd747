"""W3C trace context in a record's headers: the specification's examples, and what its own suite sends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.schemas.records import Partition, Record
from undertow.telemetry.logs import trace_of
from undertow.telemetry.tracing import links_to

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


def contexts(*headers):
    return [*links_to([Record(partition=Partition("w", 0), offset=0, appended_us=0, value=b"", headers=headers)])]


@pytest.mark.parametrize(
    ("parent", "flags"),
    [
        (GOOD, 1),
        (f"00-{TRACE}-{SPAN}-00", 0),
        (f"cc-{TRACE}-{SPAN}-01", 1),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", 1),
    ],
)
def test_a_parent_is_read_of_this_version_and_of_later_ones(parent, flags):
    (found,) = contexts(("traceparent", parent.encode()))
    assert (f"{found.trace_id:032x}", f"{found.span_id:016x}", found.trace_flags, found.is_remote) == (
        *(TRACE, SPAN),
        *(flags, True),
    )
    assert trace_of((("traceparent", parent.encode()),)) == TRACE


BAD = [
    "",
    f"ff-{TRACE}-{SPAN}-01",
    f"00-{TRACE}-{SPAN}-01-more",
    f"cc-{TRACE}-{SPAN}-01.what-the-future-will-not-be-like",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE.upper()}-{SPAN}-01",
    f"00-{TRACE[:-1]}.-{SPAN}-01",
    f"00-{TRACE}0-{SPAN}-01",
    f"00-{TRACE}-{SPAN}0-01",
    f"00-{TRACE}-{SPAN}-.1",
    f"0-{TRACE}-{SPAN}-01",
    f"00-{TRACE}-{SPAN}",
    f"00-{TRACE}-{SPAN}-1",
]


@pytest.mark.parametrize("parent", BAD)
def test_a_parent_that_is_none_is_passed_over_with_its_state(parent):
    assert contexts(("traceparent", parent.encode()), ("tracestate", b"rojo=1")) == []
    assert trace_of((("traceparent", parent.encode()),)) is None


def test_a_state_without_a_parent_is_nothing():
    assert contexts(("tracestate", b"rojo=00f067aa0ba902b7")) == contexts(("other", b"\xff")) == contexts() == []


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((), {}),
        ((b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",), {"rojo": "00f067aa0ba902b7", "congo": "t61rcWkgMzE"}),
        ((b"rojo=1", b"congo=2"), {"rojo": "1", "congo": "2"}),
        ((b"rojo=1 , \tcongo=2",), {"rojo": "1", "congo": "2"}),
        ((b"fw529a3039@dt=FfAAA",), {"fw529a3039@dt": "FfAAA"}),
        ((b"",), {}),
        ((b"no member",), {}),
        ((b"\xff\x00=1",), {}),
    ],
)
def test_a_state_is_read_whole_and_one_that_is_none_costs_no_parent(states, expected):
    (found,) = contexts(("traceparent", GOOD.encode()), *(("tracestate", state) for state in states))
    assert dict(found.trace_state) == expected


PIECES = st.sampled_from(["00", "cc", "ff", "0", TRACE, "0" * 32, SPAN, "0" * 16, "01", "-", "-", "-", "x", "\xff"])


@given(st.one_of(st.lists(PIECES).map("".join), st.binary(max_size=60).map(lambda some: some.decode("latin-1"))))
def test_lines_of_the_log_and_spans_read_the_same_parent(text):
    headers = (("traceparent", text.encode("latin-1")),)
    found = contexts(*headers)
    assert trace_of(headers) == (f"{found[0].trace_id:032x}" if found else None)

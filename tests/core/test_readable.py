"""What others wrote is one line of letters that print."""

from hypothesis import given
from hypothesis import strategies as st

from undertow.core.readable import one_line, readable

ODD = "\x1b[2J\x1b]0;x\x07 a\nb \u202eabc \ud800 \x9b"


@given(st.text(alphabet=st.characters(), max_size=30))
def test_everything_becomes_printable_and_what_prints_stays_as_it_is(text):
    shown = readable(text)
    assert shown.isprintable()
    assert readable(shown) == shown
    if text.isprintable():
        assert shown == text


def test_what_steers_a_terminal_is_shown_as_its_escape():
    assert readable(ODD) == r"\x1b[2J\x1b]0;x\x07 a\nb \u202eabc \ud800 \x9b"


def test_a_long_text_is_cut_and_says_so():
    assert readable("x" * 11, 10) == "x" * 10 + "..."
    assert readable("x" * 10, 10) == "x" * 10


def test_an_error_of_several_lines_becomes_one():
    assert one_line("first\n    second\r\n\tthird\x07") == r"first second third\x07"

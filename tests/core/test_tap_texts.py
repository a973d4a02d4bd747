"""The text of a tap: whatever a module or an element is named, it reads back."""

import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.commands.taps import _for_shell
from undertow.core.errors import Refused
from undertow.core.features import Feature, Tap
from undertow.core.tap_texts import as_element

SIGNS = st.sampled_from(list("#[]:,\"'\\=+0-1ab \n\x1b$*é"))
NAMES = st.text(SIGNS | st.characters(exclude_categories=["Cs"], exclude_characters="."), min_size=1, max_size=6)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(".".join)
ELEMENTS = st.integers(0, 12) | st.text(SIGNS, max_size=4).map(as_element)
TAPS = st.builds(Tap, path=PATHS, call=st.integers(-3, 12), select=st.lists(ELEMENTS, max_size=3).map(tuple))


@settings(deadline=None)
@given(TAPS, st.sampled_from(["auto", "last", "last+mean[-8:]"]), st.lists(PATHS, max_size=4), st.data())
def test_every_tap_reads_back_from_its_text_whatever_modules_there_are(
    tap: Tap, pool: str, others: list[str], data: st.DataObject
) -> None:
    start = data.draw(st.integers(1, len(tap.path)))  # modules that begin alike
    paths = [tap.path, *others, tap.path[:start], tap.path + "#1", tap.path + "[0]"]
    assert Tap.parse(str(tap)) == Tap.parse(str(tap), paths) == tap
    feature = Feature(tap=tap, pool=pool, l2=True)
    assert Feature.parse(str(feature), paths) == feature
    assert shlex.split(_for_shell(str(feature))) == [str(feature)]
    assert str(tap).isprintable()


@pytest.mark.parametrize(
    ("text", "path", "call", "select", "pool"),
    [
        ("by.CO2[ppm]:mean", "by.CO2[ppm]", 0, (), "mean"),
        ("by.CO2[ppm]#1[0]:mean", "by.CO2[ppm]", 1, (0,), "mean"),
        ("by.lag:7:mean", "by.lag:7", 0, (), "mean"),
        ("by.lag:7", "by.lag:7", 0, (), "auto"),
        ("by.rain#1:mean", "by.rain#1", 0, (), "mean"),
        ("by.wind, gusts:last", "by.wind, gusts", 0, (), "last"),
        ('"by.rain#1"#2:mean', "by.rain#1", 2, (), "mean"),
        ("cell#-1:last", "cell", -1, (), "last"),
        ("cell#1", "cell", 1, (), "auto"),
        ("cell[1]:last", "cell", 0, (1,), "last"),
        ("nowhere#1:last", "nowhere", 1, (), "last"),
    ],
)
def test_a_path_without_quotes_is_the_longest_module_that_fits(
    text: str, path: str, call: int, select: tuple[int, ...], pool: str
) -> None:
    paths = ("by", "by.CO2[ppm]", "by.lag:7", "by.rain#1", "by.wind, gusts", "cell")
    assert Feature.parse(text, paths) == Feature(tap=Tap(path=path, call=call, select=select), pool=pool)


def test_of_a_module_and_a_call_of_another_that_are_written_alike_the_call_is_meant() -> None:
    assert Tap.parse("rain#1", ("rain", "rain#1")) == Tap(path="rain", call=1)
    assert Tap.parse('"rain#1"', ("rain", "rain#1")) == Tap(path="rain#1")


@pytest.mark.parametrize("text", ['"rnn', '"rnn\\x"', '"rnn"x', 'rnn["0]', 'rnn["\\x"]', "rnn#-", "rnn#--1"])
def test_a_text_that_is_no_tap_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="expected a tap such as"):
        Tap.parse(text, ("rnn",))

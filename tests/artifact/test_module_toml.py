"""The TOML of a plain module: each key that is wrong is named, and all of them at once."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.packing import pack
from undertow.artifact.pack.read.plain import read_description
from undertow.cli.main import main
from undertow.core.errors import Refused

TOML = """
class = "foreignnets:Twice"
weights = "model.pt"
[input]
columns = ["a", "b"]
min_length = 1
max_length = 4
[input.scaling]
a = { center = 1.0, scale = 2.0 }
[series]
wearer = "string"
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[input]", "[input", "is not valid TOML"),
        ("columns", "colums", r"no key input.colums; closest: input.columns"),
        ('class = "foreignnets:Twice"', "", r"expected class, a text; found only weights, input, series"),
        ('weights = "model.pt"', "weights = 3", "weights: expected a text, found 3"),
        ("max_length = 4", "max_length = true", "input.max_length: expected a whole number, found True"),
        ("min_length = 1", "min_length = 5", "expected 1 <= input.min_length <= input.max_length, found 5 and 4"),
        (
            "max_length = 4",
            "max_length = 1000000000000",
            r"at most 4,194,304 numbers, input.max_length times input",
        ),
        ("max_length = 4", "max_length = 3000000", r"found 3000000 steps of 2 columns"),
        ("min_length = 1", "min_length = -1000000000000", "expected 1 <= input.min_length"),
        ('wearer = "string"', 'A = "string"', "the id column 'A' and the input 'a': observations carry both"),
        ('wearer = "string"', 'event_timestamp = "string"', "the offline log has a column of this name itself"),
        ('wearer = "string"', '"wea rer" = "string"', "expected id columns named by letters"),
        ("max_length = 4", f"max_length = {'9' * 5000}", "is not valid TOML"),
        ("max_length = 4", f"max_length = {'[' * 5000}", "is not valid TOML"),
        ("min_length = 1", 'axes = "nf"\nmin_length = 1', "all windows must have one length"),
        ("min_length = 1", 'axes = "btc"', "input.axes: expected one of ntc, nct, tnc, nf, found 'btc'"),
        ("min_length = 1", 'dtype = "float16"', "input.dtype: expected one of float32, int64, found 'float16'"),
        ("min_length = 1", 'dtype = "int64"', r"input.scaling: dtype = .int64. takes codes of categories"),
        ('["a", "b"]', '["a", "a"]', "expected names of columns, each once"),
        ("a = {", "c = {", "no key input.scaling.c; there are a, b"),
        ("a = {", "a = [1.0] # {", r"input.scaling.a: expected a table .center, scale, transformation., found"),
        ("center = 1.0", "centre = 1.0", "no key input.scaling.a.centre; closest: input.scaling.a.center"),
        ("scale = 2.0", "scale = 0", "a finite scale other than 0"),
        ("scale = 2.0", 'transformation = "ln"', "transformation: expected one of count, log, log1p, logit"),
        ("[series]", "[arguments]\nsize = nan\n[series]", r"\[arguments\] must be texts, finite numbers"),
        ("[series]", "[arguments]\nday = 2020-01-01\n[series]", r"\[arguments\] must be texts, finite numbers"),
        ('wearer = "string"', "", r"say \[series\] wearer = .string., or --series wearer"),
        ('wearer = "string"', 'wearer = "text"', "series.wearer: expected one of string, integer, found 'text'"),
        ("[input.scaling]", '[input.categories]\na = ["x"]\n[input.scaling]', "categories need dtype"),
    ],
)
def test_a_description_that_does_not_hold_is_refused_with_its_key(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    assert TOML.count(old) == 1
    (tmp_path / "model.toml").write_text(TOML.replace(old, new))
    with pytest.raises(Refused, match=rf"model.toml.*{message}"):
        read_description(tmp_path / "model.toml")


def test_the_byte_order_mark_of_utf_8_is_passed_over_in_a_description_and_that_of_utf_16_is_named(
    tmp_path: Path,
) -> None:
    (tmp_path / "model.toml").write_text(TOML.replace('["a", "b"]', '["a", "é"]'), encoding="utf-8-sig")
    assert [column.name for column in read_description(tmp_path / "model.toml").contract.past] == ["a", "é"]
    (tmp_path / "model.toml").write_text(TOML, encoding="utf-16")
    with pytest.raises(Refused, match=r"model\.toml begins with the byte order mark of UTF-16: save it as UTF-8"):
        read_description(tmp_path / "model.toml")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ('a = "string"', "the id column 'a' and the input 'a'"),
        ('wearer = "string"\n[input.scaling.c]', "no key input.scaling.c"),
    ],
)
def test_taps_refuses_a_description_in_the_words_of_pack(wrong: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text(TOML.replace('wearer = "string"', wrong))
    with pytest.raises(Refused, match=told) as refused:
        pack(tmp_path / "model.toml", tmp_path / "a", name="walk", taps={"hidden": "calm"})
    done = CliRunner().invoke(main, ["taps", str(tmp_path / "model.toml")])
    assert (done.exit_code, done.output) == (1, f"error: {refused.value}\n")


def test_all_that_is_wrong_with_a_description_is_told_at_once(tmp_path: Path) -> None:
    text = TOML.replace("columns", "colums").replace("center = 1.0", "center = true").replace('"string"', "[1]")
    (tmp_path / "model.toml").write_text(text.replace('weights = "model.pt"', ""))
    with pytest.raises(Refused) as refused:
        read_description(tmp_path / "model.toml")
    for fault in (
        "expected weights, a text; found only class, input, series",
        "expected input.columns, a list of texts; found only colums, min_length, max_length, scaling",
        "no key input.colums; closest: input.columns",
        "input.scaling.a.center: expected a number, found True",
        "series.wearer: expected one of string, integer, found [1]",
    ):
        assert fault in str(refused.value)


@pytest.mark.parametrize(
    ("series", "message"),
    [
        (["person:text"], "series.person: expected one of string, integer, found 'text'"),
        (["person", "person:integer"], "--series: expected each id column once, found person, person"),
        ([], "expected the id columns of the windows' series"),
    ],
)
def test_id_columns_of_the_command_are_held_to_the_same(series: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text(TOML)
    with pytest.raises(Refused, match=rf"model.toml: {message}"):
        read_description(tmp_path / "model.toml", series=series)

"""What is told of observations that give no window, or hardly one: before they are sorted, or at the end of a run."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from undertow.adapters.offline_root import claim_folder
from undertow.backfill.chunk_counts import ChunkCounts, LongestRun
from undertow.backfill.chunks import WHOLE, cut
from undertow.backfill.embed import BackfillRecipe, BackfillTools, ChunkEmbedder
from undertow.backfill.job import BackfillReport
from undertow.backfill.observed import FEWEST_ROWS, FIRST_ROWS, find_observations
from undertow.backfill.pieces import in_pieces
from undertow.backfill.run import tell
from undertow.core.errors import Refused
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.spaces import SpaceView
from undertow.settings.log_sections import OfflineSettings
from undertow.settings.settings import Settings
from undertow.settings.windows_section import WindowsSettings
from undertow.wiring.known_topic import KnownNow

SITE = (IdColumn(name="site", type="string"),)
CONTRACT = InputContract(series=SITE, past=(Column(name="flow"),), min_length=6, max_length=8)
VIEW = SpaceView(name="v", space="e" * 64, series=SITE, features=(("sums", 2),))
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def never(_):
    raise AssertionError


def write_rows(folder, seconds):
    """Write a file of rows at these seconds."""
    times = [BEGAN + timedelta(seconds=second) for second in seconds]
    pq.write_table(
        pa.table({"site": ["a"] * len(times), "at": times, "flow": [1.0] * len(times)}), folder / "rows.parquet"
    )
    return folder / "rows.parquet"


def test_times_that_are_nearly_all_off_the_grid_are_told_at_once(tmp_path):
    file = write_rows(tmp_path, [*(3600 * hour + 7 for hour in range(FEWEST_ROWS)), 0])
    with pytest.raises(Refused) as refused:
        find_observations(file, WindowsSettings(every="1h", time="at"), CONTRACT)
    for told in (
        "expected observations within windows.tolerance (0) of grid points each 1h, found 1,000 of the first 1,001",
        "expected a time within windows.tolerance (0) of a grid point, found 2026-01-01T00:00:07.000000Z, 7s off: ",
    ):
        assert told in str(refused.value)
    for mended in ({"tolerance": "7s"}, {"origin": "2026-01-01T00:00:07Z"}, {"align": "until"}):
        assert find_observations(file, WindowsSettings(every="1h", time="at", **mended), CONTRACT) is not None


@pytest.mark.parametrize("seconds", [range(7, 60 * FEWEST_ROWS, 60)[:-1], range(0, 120 * FEWEST_ROWS, 60)])
def test_few_rows_and_those_of_each_minute_taken_at_each_hour_are_listed_as_ever(tmp_path, seconds):
    file = write_rows(tmp_path, seconds)
    assert find_observations(file, WindowsSettings(every="1h", time="at"), CONTRACT) is not None


def test_a_misspelt_column_of_times_is_told_by_the_one_that_is_there(tmp_path):
    file = write_rows(tmp_path, [0])
    with pytest.raises(Refused, match=r'times in att \(windows.time\), .*found neither; there is "at"'):
        find_observations(file, WindowsSettings(every="1h", time="att"), CONTRACT)


def test_where_no_window_can_be_made_a_run_says_what_was_found_and_what_one_needs(tmp_path):
    file = write_rows(tmp_path, [0, 3600, 7200, 5 * 3600])
    settings = Settings(windows=WindowsSettings(every="1h", time="at"), offline=OfflineSettings(path=tmp_path / "log"))
    claim_folder(settings.offline.path, VIEW)
    recipe = BackfillRecipe(history=file, contract=CONTRACT, view=VIEW, offline=settings.offline, job="job")
    with in_pieces(recipe, find_observations(file, settings.windows, CONTRACT), settings) as of_pieces:
        (chunk,) = cut(of_pieces.history, None, space=VIEW.space, chunk_rows=WHOLE).chunks
        counts = ChunkEmbedder(of_pieces, BackfillTools(embed=never)).embed(chunk)
    report = BackfillReport(chunks=1, skipped=0, seconds=0.0, counts=ChunkCounts() + counts)
    assert [*tell(report, of_pieces)][1] == "no window could be made: longest run: 3 steps of 1h, a window needs 6"
    enough = replace(report, counts=replace(counts, longest=LongestRun(steps=6)))
    assert len([*tell(enough, of_pieces)]) == 1


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        ({"at": [BEGAN] * 2, "price": [1.0, None]}, ""),
        ({"at": [BEGAN] * (FIRST_ROWS + 1), "price": [None] * FIRST_ROWS + [1.0]}, ""),
        ({"at": [BEGAN], "price": [None]}, "no window is made; none of 1 row has all of them"),
        (
            {"at": [None, BEGAN + timedelta(minutes=1)], "price": [1.0] * 2},
            r"; 2 of 2 rows say nothing \(time 1, off-",
        ),
        ({"at": [], "price": []}, "there is no row"),
        ({"att": [BEGAN], "price": [1.0]}, r"what is known ahead .*expected a column at, .*columns: att, price"),
        ({"at": [BEGAN], "prize": [1.0]}, r"that table has at, prize; there is .prize.: is price meant"),
    ],
)
def test_a_table_by_which_nothing_is_known_is_refused_before_windows_are_made(tmp_path, ahead, said):
    kinds = {"at": pa.timestamp("us", "UTC"), "att": pa.timestamp("us", "UTC")}
    pq.write_table(
        pa.table({name: pa.array(cells, kinds.get(name, pa.float64())) for name, cells in ahead.items()}),
        tmp_path / "known.parquet",
    )
    contract = replace(CONTRACT, future=(Column(name="price"),), horizon=1)
    windows = WindowsSettings(every="1h", time="at", known=tmp_path / "known.parquet")
    file = write_rows(tmp_path, [0])
    if not said:
        assert find_observations(file, windows, contract) is not None
        return
    with pytest.raises(Refused, match=said):
        find_observations(file, windows, contract)


def test_a_topic_by_which_nothing_is_known_is_refused_with_what_was_found_in_it():
    nothing = KnownNow(
        table=pa.table({"price": []}), passed_over=1, told="0 rows of price in ahead; 1 row is passed over"
    )
    with pytest.raises(
        Refused, match="no window can be made: of what is known ahead there are 0 rows of price in ahead"
    ):
        nothing.require_rows()
    replace(nothing, table=pa.table({"price": [1.0]})).require_rows()

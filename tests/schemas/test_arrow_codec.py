"""Arrow messages: many windows in one record, bad rows among them, and bytes that ask for more than they are."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from undertow.schemas.json_codec import encode_json
from undertow.schemas.windows_arrow import window_schema

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from formats import CONTRACT, FORMATS, documents, stream_of

JSON, ARROW = FORMATS[0], FORMATS[-1]
LARGE = 1 << 20


def message(rows: list[dict]) -> bytes:
    return stream_of(pa.RecordBatch.from_pylist(rows, schema=window_schema(CONTRACT)))


def rows(count: int, *bad: int) -> list[dict]:
    """Windows of as many series; the bad ones hold a NaN."""
    made = [{**documents()[1], "series": {"wearer": "s", "limb": limb}} for limb in range(count)]
    for row in bad:
        made[row] = {**made[row], "past": {"ax": [1.0, float("nan"), 2.0], "mode": ["walk", "1", "rest"]}}
    return made


def limbs(decoded) -> list[int]:
    return decoded.windows.series["limb"].tolist()


def only_reject(value: bytes) -> tuple[str, str]:
    (reject,) = ARROW.read([value], limit=LARGE).rejects
    return reject.reason, reject.detail


def test_each_window_of_many_messages_knows_its_record():
    values = [message(rows(64)), message(rows(1)), JSON.write(documents()[0]), message(rows(3))]
    decoded = ARROW.read(values, limit=LARGE)
    assert decoded.record_of.tolist() == [0] * 64 + [1] + [3] * 3
    assert limbs(decoded) == [*range(64), 0, 0, 1, 2]
    assert [(reject.record.offset, reject.reason) for reject in decoded.rejects] == [(2, "not-arrow")]


def test_a_bad_row_refuses_its_record_once_by_name_and_the_other_rows_are_kept():
    decoded = ARROW.read([message(rows(2)), message(rows(64, 3)), message(rows(2))], limit=LARGE)
    assert decoded.record_of.tolist() == [0, 0] + [1] * 63 + [2, 2]
    assert limbs(decoded) == [0, 1, *range(3), *range(4, 64), 0, 1]
    (reject,) = decoded.rejects
    assert (reject.record.offset, reject.reason) == (1, "number")
    assert reject.detail == "row 3: past.ax[1]: expected a finite number within float32, found NaN"


def test_of_many_bad_rows_three_are_explained_and_the_others_counted():
    decoded = ARROW.read([message(rows(64, *range(1, 64))), message(rows(5, 0, 4))], limit=LARGE)
    assert limbs(decoded) == [0, 1, 2, 3]
    first, second = (reject.detail for reject in decoded.rejects)
    assert [part.split(":")[0] for part in first.split("; ")] == ["row 1", "row 2", "row 3", "and 60 more windows"]
    assert [part.split(":")[0] for part in second.split("; ")] == ["row 0", "row 4"]


def test_a_message_of_another_schema_lies_among_ours_in_its_place():
    narrow = pa.RecordBatch.from_pylist(rows(3, 1))  # as pyarrow sees Python's lists: `end` is a number
    decoded = ARROW.read([message(rows(2)), stream_of(narrow), message(rows(1, 0))], limit=LARGE)
    assert decoded.record_of.tolist() == [0, 0, 1, 1]
    assert limbs(decoded) == [0, 1, 0, 2]
    assert [reject.detail[:17] for reject in decoded.rejects] == ["row 1: past.ax[1]", "row 0: past.ax[1]"]


def test_dictionaries_are_taken_as_the_strings_they_stand_for():
    plain = pa.RecordBatch.from_pylist(rows(3), schema=window_schema(CONTRACT))
    series = plain.column("series")
    packed = pa.StructArray.from_arrays(
        [series.field("wearer").dictionary_encode(), series.field("limb")], names=["wearer", "limb"]
    )
    value = stream_of(plain.set_column(0, "series", packed))
    decoded = ARROW.read([value], limit=LARGE)
    assert encode_json(decoded.windows) == encode_json(ARROW.read([message(rows(3))], limit=LARGE).windows)


def test_a_message_without_rows_is_empty():
    assert only_reject(message([]))[0] == "empty"


def batch_of(**columns: pa.Array) -> bytes:
    return stream_of(pa.RecordBatch.from_arrays([*columns.values()], names=[*columns]))


def test_strings_that_are_written_once_and_used_many_times_are_refused_before_they_are_copied():
    series = pa.StructArray.from_arrays(
        [
            pa.DictionaryArray.from_arrays(np.zeros(100_000, np.int8), pa.array(["x" * 500_000])),
            pa.array(np.zeros(100_000, np.int8)),
        ],
        names=["wearer", "limb"],
    )
    before = pa.total_allocated_bytes()
    reason, detail = only_reject(batch_of(series=series))
    assert reason == "too-large"
    assert "found 50000000000" in detail
    assert pa.total_allocated_bytes() - before < LARGE


def test_views_of_one_long_string_are_refused_before_they_are_copied():
    view = np.array([[500_000, int.from_bytes(b"xxxx", "little"), 0, 0]], np.int32).repeat(20_000, axis=0)
    texts = pa.Array.from_buffers(
        pa.string_view(), 20_000, [None, pa.py_buffer(view.tobytes()), pa.py_buffer(b"x" * 500_000)]
    )
    assert only_reject(batch_of(notes=texts))[0] == "too-large"


def test_rows_that_take_no_bytes_are_refused():
    assert "rows in" in only_reject(batch_of(nothing=pa.nulls(1 << 20)))[1]


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_buffers_are_refused_for_they_name_their_own_size(codec):
    batch = pa.RecordBatch.from_pylist(rows(8), schema=window_schema(CONTRACT))
    detail = only_reject(stream_of(batch, options=pa.ipc.IpcWriteOptions(compression=codec)))[1]
    assert "compressed buffers (let Kafka compress" in detail


def test_an_extension_type_is_refused_before_its_library_sees_it():
    seen = []

    class Spy(pa.ExtensionType):
        def __init__(self):
            super().__init__(pa.int8(), "undertow.spy")

        def __arrow_ext_serialize__(self):
            return b""

        @classmethod
        def __arrow_ext_deserialize__(cls, storage, serialized):
            seen.append((storage, serialized))
            return cls()

    pa.register_extension_type(Spy())
    try:
        value = batch_of(spy=pa.ExtensionArray.from_storage(Spy(), pa.array([1], pa.int8())))
        seen.clear()
        assert "an extension type" in only_reject(value)[1]
    finally:
        pa.unregister_extension_type("undertow.spy")
    assert seen == []


def test_more_than_one_record_batch_is_refused():
    batch = pa.RecordBatch.from_pylist(rows(1), schema=window_schema(CONTRACT))
    assert "found 2 record batches" in only_reject(stream_of(batch, batch))[1]


def test_a_type_that_pyarrow_has_no_class_for_is_refused():
    days = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
    value = batch_of(series=pa.StructArray.from_arrays([days], names=["wearer"]))
    details = []
    for place, unit in enumerate(value):
        if unit == 2:  # MONTH_DAY_NANO, somewhere among the bytes; 0 is YEAR_MONTH
            details.append(only_reject(value[:place] + b"\0" + value[place + 1 :])[1])
    assert "expected columns of types that pyarrow knows, found type 21" in details

"""Batches of any bytes: what is made of them is bounded, loses no offset, and a client can read it."""

import tracemalloc
from contextlib import suppress

import crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatchBuilder

from undertow.adapters.kafka_batches import UnreadableError, make_plain
from undertow.adapters.kafka_codecs import DamagedError, TooLargeError, unpack

ENCODE = {1: gzip_encode, 2: snappy_encode, 3: lz4_encode, 4: zstd_encode}
MB = 1 << 20


def batch(values: list[bytes], codec: int = 0, base: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1 << 30)
    for number, value in enumerate(values):
        builder.append(number, 1, None, value, [])
    built = bytearray(builder.build())
    built[:8] = base.to_bytes(8, "big")  # which the checksum does not cover: the broker sets it
    return bytes(built)


def plain(data: bytes, position: int = 0, **given_by_test):
    limits = {"max_unpacked_bytes": MB, "room": MB, **given_by_test}
    return make_plain(memoryview(data), position=position, **limits)


def read(data) -> list[tuple[int, bytes]]:
    """As kafka-python does, checksums included."""
    records = MemoryRecords(bytes(data))
    found = []
    while (one := records.next_batch()) is not None:
        assert one.validate_crc()
        found += [(record.offset, record.value) for record in one]
    return found


@pytest.mark.parametrize("codec", range(5))
def test_what_is_fine_is_read_as_it_was(codec):
    values = [b"%d" % n * 50 for n in range(20)]
    data = batch(values, codec) + batch(values, 0, base=20) + batch(values, codec, base=40)[:-3]
    found = plain(data)
    assert read(found.data) == list(enumerate(values * 2))
    assert (found.skipped, found.odd) == ((), {})
    assert (found.data is data) == (codec == 0) or codec == 0


@pytest.mark.parametrize("codec", range(1, 5))
def test_a_bomb_takes_memory_of_its_bound_and_not_of_its_size(codec):
    bomb = memoryview(ENCODE[codec](bytes(200 * MB)))
    tracemalloc.start()
    with pytest.raises(TooLargeError):
        unpack(codec, bomb, 4 * MB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * MB + 2 * len(bomb)


@given(codec=st.integers(0, 7), data=st.binary(max_size=200))
def test_bytes_of_any_kind_are_unpacked_within_the_bound_or_refused(codec, data):
    with suppress(TooLargeError, DamagedError):
        assert len(unpack(codec, memoryview(data), 1000)) <= 1000


@given(codec=st.integers(0, 4), spoilt=st.lists(st.tuples(st.integers(12, 400), st.integers(0, 255)), max_size=3))
def test_a_batch_spoilt_anywhere_hides_no_offset_and_harms_no_other(codec, spoilt):
    values = [b"%d" % n * 50 for n in range(5)]
    bad = bytearray(batch(values, codec))
    for place, byte in spoilt:
        if 16 < place < len(bad):  # behind length, epoch and magic
            bad[place] = byte
    after = batch([b"after"], 0, base=5)
    given_up: set[int] = set()
    for _ in range(2):
        try:
            found = plain(bytes(bad) + after, given_up=given_up)
            break
        except UnreadableError as error:
            given_up.add(error.offset)
    offsets = [offset for offset, _ in read(found.data)]
    passed = [offset for one in found.skipped for offset in range(one.first, one.next)]
    assert sorted(offsets + passed) == list(range(6))
    assert read(found.data)[-1] == (5, b"after")


def test_after_its_room_is_used_up_a_poll_unpacks_no_further_batch():
    values = [bytes(1000)] * 10
    data = b"".join(batch(values, 1, base=base) for base in (0, 10, 20))
    found = plain(data, room=15_000)
    assert [offset for offset, _ in read(found.data)] == list(range(20))
    assert found.unpacked > 15_000


@given(
    bodies=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5),
    tail=st.binary(max_size=10),
)
def test_records_without_sense_are_made_readable_one_by_one(bodies, tail):
    """Whatever a record holds: looked at carefully, each offset is a record that can be read or is told as skipped."""
    good = batch([b"good"] * (len(bodies) + 1))
    # A record's size is one byte here, as zigzag.
    records = b"".join(bytes([2 * len(body)]) + body for body in bodies) + tail
    header = bytearray(good[:61])
    header[8:12] = (49 + len(records)).to_bytes(4, "big")
    header[57:61] = (len(bodies) + 1).to_bytes(4, "big")
    data = bytearray(header + records)
    data[17:21] = crc32c.crc32c(bytes(data[21:])).to_bytes(4, "big")
    found = plain(bytes(data), suspect=[0])
    seen = [offset for offset, _ in read(found.data)]
    assert seen == sorted(seen)
    assert set(found.odd) <= set(seen)
    for one in found.skipped:
        assert one.next == len(bodies) + 1
        assert one.value

"""A synthetic window for an artifact, in each form in which it can be sent.

In: a manifest, the name of a form. Out: a window, and the bytes of a record or of a file. Knows no model.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from undertow.artifact.dry_runs.sample import sample_windows
from undertow.artifact.format.manifest import Manifest
from undertow.schemas.contract import InputContract
from undertow.schemas.windows import WindowBatch
from undertow.schemas.windows_arrow import windows_to_arrow
from undertow.settings.sections import KafkaSettings
from undertow.wiring.formats import open_encode

Form = Literal["json", "avro", "arrow", "parquet"]
"""The values of `kafka.format` except `avro-confluent`, whose schema id only a registry knows; and `parquet`, the file
that `undertow produce` and `undertow backfill` read."""
FORMS: tuple[Form, ...] = get_args(Form)
END = datetime(2000, 1, 1, tzinfo=UTC)
"""The event time of a made-up window. Long ago: where it is sent to a topic that is served and its ids are those of a
real series, that one's newest vector stays online."""


def make_window(manifest: Manifest) -> WindowBatch:
    """Return the shortest valid window, which ends at `END`."""
    windows = sample_windows(manifest.contract, manifest.preprocessing, np.array([manifest.contract.min_length]))
    return replace(windows, end_us=np.array([int(END.timestamp()) * 1_000_000], np.int64))


def encode_sample(form: Form, windows: WindowBatch, contract: InputContract) -> bytes:
    """Return the value of one record, or a file of Parquet.

    Raises `Refused` where the packages of a form are not installed.
    """
    if form == "parquet":
        return _parquet(windows, contract)
    return open_encode(KafkaSettings(format=form), contract)(windows)[0]


def _parquet(windows: WindowBatch, contract: InputContract) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(windows_to_arrow(windows, contract), sink, write_page_checksum=True)
    content: bytes = sink.getvalue().to_pybytes()
    return content

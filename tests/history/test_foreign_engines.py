"""The table of history as others read it: by Delta Lake's protocol alone, and by Spark."""

import json
import os
import subprocess
from urllib.parse import unquote

import duckdb
import pytest

from tests.history.fold_world import GRACE_S, P0, P1, World, upto

SPARK = "UNDERTOW_TEST_SPARK"
DELTA_OF_SPARK = "io.delta:delta-spark_4.1_2.13:4.1.0"
READ_BY_SPARK = f"""
import json, sys
from pyspark.sql import SparkSession

builder = SparkSession.builder.master("local[1]").config("spark.jars.packages", "{DELTA_OF_SPARK}")
for key, value in {{
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}}.items():
    builder = builder.config(key, value)
rows = builder.getOrCreate().read.format("delta").load(sys.argv[1])
rows = rows.selectExpr("origin_partition", "origin_offset", "site", "unix_micros(event_timestamp)", "hidden", "day")
print(json.dumps([list(row) for row in rows.collect()]))
"""


@pytest.fixture
def table(tmp_path, memory_clock):
    """A table of two days, of which some files were merged; a chain's last part is never in it."""
    world = World(tmp_path, memory_clock)
    world.step_us = 3_600_000_000
    for _ in range(20):
        world.publish(P0, 2)
        world.publish(P1, 3)
        world.maintain()
        world.clock.advance(GRACE_S)
    return world.home / "@table"


def expected():
    """All rows but those of each chain's last part, as `tests.history.fold_world` makes them."""
    step_us, day_us, begin_us = 3_600_000_000, 86_400_000_000, 1_717_200_000_000_000
    for partition, offset in upto(38, 57):
        event_us = begin_us - begin_us % day_us + offset * step_us
        day = f"2024-06-{1 + (event_us - begin_us + begin_us % day_us) // day_us:02d}"
        yield [partition, offset, f"s{offset % 3}", event_us, [float(offset), -float(offset)], day]


def test_the_files_that_delta_lakes_log_names_hold_each_row_once_with_its_day(table):
    files = {}
    for commit in sorted((table / "_delta_log").glob("*.json")):
        for action in map(json.loads, commit.read_text().splitlines()):
            if "add" in action:
                files[action["add"]["path"]] = action["add"]["partitionValues"]["day"]
            elif "remove" in action:
                del files[action["remove"]["path"]]
    columns = "origin_partition, origin_offset, site, epoch_us(event_timestamp), hidden"
    rows = [
        [*row, day]
        for path, day in files.items()
        for row in duckdb.sql(f"SELECT {columns} FROM read_parquet('{table / unquote(path)}')").fetchall()  # noqa: S608
    ]
    assert sorted(rows) == list(expected())


@pytest.mark.slow
@pytest.mark.skipif(
    SPARK not in os.environ, reason=f"needs {SPARK}: a Python that has pyspark 4.1, and JAVA_HOME of 17 or 21"
)
def test_spark_reads_each_row_once(table):
    command = [os.environ[SPARK], "-c", READ_BY_SPARK, str(table)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert sorted(json.loads(done.stdout.splitlines()[-1])) == list(expected())

"""Random Parquet files by Apache Spark, where Java and PySpark are installed, and what Spark reads in files."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

COLUMNS = (
    "CAST(id % 100 AS BYTE) a",
    "CAST(id AS INT) b",
    "CAST(id / 7 AS DECIMAL(9, 2)) c",
    "CAST(id / 7 AS DECIMAL(15, 2)) c2",
    "CAST(id - 50 AS DECIMAL(30, 3)) d",
    "timestamp_seconds(1609459200 + id) e",
    "IF(id % 4 = 0, NULL, timestamp_micros(1609459200000000 + id)) e2",
    "TIMESTAMP_NTZ '2021-01-01 00:00:00' e3",
    "IF(id % 5 = 0, NULL, array(id, NULL, id + 1)) f",
    "named_struct('x', id, 'y', array(CAST(id AS STRING))) g",
    "map(CAST(id AS STRING), 'x') m",
    "IF(id % 3 = 0, NULL, map('k', array(CAST(id AS DOUBLE), NULL))) m2",
    "array(named_struct('p', concat('nested ', id), 'q', IF(id % 2 = 0, NULL, map('z', id)))) l",
    "date_add(DATE '2021-01-01', CAST(id % 1000 AS INT)) w",
    "rand(7) p",
    "IF(id % 9 = 0, CAST('NaN' AS FLOAT), CAST(-id AS FLOAT)) p2",
    "id % 3 q",
    "CAST(concat('text ', id) AS BINARY) r",
    "IF(id % 2 = 0, true, NULL) s",
    "concat('one of few ', id % 4) t",
    "CAST(NULL AS STRING) u",
)

CODECS = ("none", "snappy", "gzip", "zstd", "lz4", "lz4_raw")


def why_not() -> str | None:
    """Why Spark cannot be used here, or None."""
    if shutil.which("java") is None:
        return "there is no Java here"
    if importlib.util.find_spec("pyspark") is None:
        return "PySpark is not installed"
    return None


def write_spark(path: Path, rows: int, random: Random) -> str:
    """Write a file of some of `COLUMNS`, with settings that are returned as words."""
    rows *= random.choice([1, 20])
    columns = random.sample(COLUMNS, k=random.randrange(1, 9))
    session = _session()
    session_settings = {
        "spark.sql.parquet.outputTimestampType": random.choice(
            ["INT96", "TIMESTAMP_MICROS", "TIMESTAMP_MILLIS"]
        ),
        "spark.sql.parquet.writeLegacyFormat": random.choice(["true", "false"]),
    }
    settings = {
        "compression": random.choice(CODECS),
        "parquet.enable.dictionary": random.choice(["true", "false"]),
        "parquet.writer.version": random.choice(["PARQUET_1_0", "PARQUET_2_0"]),
        "parquet.block.size": random.choice(["2000", "20000", "134217728"]),
        "parquet.page.size": random.choice(["300", "1048576"]),
        "parquet.page.row.count.limit": random.choice(["50", "20000"]),
        "parquet.page.write-checksum.enabled": random.choice(["true", "false"]),
        "parquet.bloom.filter.enabled#url": random.choice(["true", "false"]),
        "parquet.bloom.filter.expected.ndv#url": random.choice(["10", "1000"]),
    }
    for name, value in session_settings.items():
        session.conf.set(name, value)
    url = "IF(id % 7 = 3, NULL, concat('https://a.example/', id)) AS url"
    folder = path.with_suffix(".spark")
    frame = session.range(0, rows, 1, 1).selectExpr(url, *columns)
    frame.write.options(**settings).parquet(str(folder))
    (part,) = folder.glob("part-*.parquet")
    part.replace(path)
    shutil.rmtree(folder)
    return f"{session_settings | settings} for {columns}"


def read_spark(path: Path) -> list[dict[str, Any]]:
    """The rows as Spark reads them."""
    return [row.asDict(recursive=True) for row in _session().read.parquet(str(path)).collect()]


@cache
def _session() -> Any:
    """One session a process: it takes some seconds to start. What Java says to standard error is of no use here."""
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.log.level": "ERROR",
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = importlib.import_module("pyspark.sql").SparkSession.builder.master("local[1]")
    shown = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        return builder.config(map=settings).getOrCreate()
    finally:
        os.dup2(shown, 2)
        os.close(shown)

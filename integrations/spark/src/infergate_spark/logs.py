"""Reads the files of prediction logs."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import pandas as pd
from pyspark.sql import DataFrame, SparkSession

_FIELDS = "array<struct<name:string,value:string>>"
_MESSAGE = f"struct<headers:{_FIELDS},encoding:string,body:string>"

LOG_SCHEMA = (
    "time timestamp, requestId string, route string, protocol string, verb string, model string, version string, "
    "method string, path string, query string, principal string, "
    f"request {_MESSAGE}, status int, cache string, tier string, "
    f"rows struct<hit:long,join:long,miss:long,dup:long>, response {_MESSAGE}"
)
"""The columns of `jsonl`; docs/guide/prediction-log.md says what is in them."""


def read_log(spark: SparkSession, path: str, format: str = "jsonl") -> DataFrame:
    """
    The records of a prediction log, from a directory or a pattern.

    `jsonl`: the columns of LOG_SCHEMA. `tfrecord`: one column `record`, a serialized `tensorflow.serving.PredictionLog`. It
    needs no connector; each file is read by one task.
    """
    if format == "jsonl":
        return spark.read.schema(LOG_SCHEMA).option("mode", "FAILFAST").json(path)
    if format != "tfrecord":
        raise ValueError(f"format {format} is neither jsonl nor tfrecord")
    files = spark.read.format("binaryFile").option("pathGlobFilter", "*.tfrecord").load(path)
    return files.select("content").mapInPandas(_records, "record binary")


def _records(files: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    for frame in files:
        for content in frame["content"]:
            yield pd.DataFrame({"record": list(split_records(content))})


def split_records(content: bytes) -> Iterator[bytes]:
    """The records of a TFRecord file: the length and its checksum, the record, its checksum."""
    at = 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        start = at + 12
        if start + length + 4 > len(content):
            raise ValueError("the file is cut off in the middle of a record")
        yield content[start : start + length]
        at = start + length + 4

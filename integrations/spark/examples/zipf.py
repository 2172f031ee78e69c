"""
Scores rows of which a few are asked for again and again, on two executors, and compares what the gateway saved with the repeats.

usage: zipf.py GATEWAY_URL MODEL [--rows 6000] [--distinct 400] [--protocol v2] [--master local-cluster[2,1,1024]]

The model takes FP32 rows of --width values under --input-name, and its route has `cache: { rows: always }` (or `auto`, and a proof).
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from infergate_spark import Summary, score
from pyspark.sql import SparkSession
from pyspark.sql.types import ArrayType, FloatType, LongType, StructField, StructType

SCHEMA = StructType([StructField("id", LongType()), StructField("features", ArrayType(FloatType()))])


def options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("model")
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--distinct", type=int, default=400)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--input-name", default="image")
    parser.add_argument("--protocol", default="v2")
    parser.add_argument("--output-name")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--master", default="local-cluster[2,1,1024]")
    return parser.parse_args(arguments)


def run(spark: SparkSession, arguments: list[str]) -> None:
    """Scores in this session. Ends with the reason where fewer rows were saved than there are repeats."""
    asked = options(arguments)
    random = np.random.default_rng(asked.seed)
    distinct = random.integers(0, 17, (asked.distinct, asked.width)).astype("float32")
    drawn = (random.zipf(1.3, asked.rows) - 1) % asked.distinct
    data = [(i, distinct[k].tolist()) for i, k in enumerate(drawn.tolist())]
    df = spark.createDataFrame(spark.sparkContext.parallelize(data, 8), SCHEMA)
    summary = Summary(spark.sparkContext)
    scored = score(
        df,
        asked.url,
        asked.model,
        inputs="features",
        input_name=asked.input_name,
        protocol=asked.protocol,
        output_name=asked.output_name,
        batch_rows=32,
        summary=summary,
    )
    rows = scored.collect()
    repeats = asked.rows - len({distinct[k].tobytes() for k in drawn})
    is_in_order = [row["id"] for row in rows] == list(range(asked.rows))
    print(f"{summary}; {repeats} repeats; order kept: {is_in_order}")
    if summary.saved < repeats or not is_in_order:
        raise SystemExit(1)


def main() -> None:
    spark = SparkSession.builder.master(options(sys.argv[1:]).master).appName("zipf").getOrCreate()
    try:
        run(spark, sys.argv[1:])
    finally:
        spark.stop()


if __name__ == "__main__":
    main()

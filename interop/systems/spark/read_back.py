"""arguments: GATEWAY_URL LOG FORMAT    scores rows, closes the log's file, and holds what the log says against them"""

import json
import time

import numpy as np
from infergate_spark import read_log, score
from pyspark.sql.functions import col
from pyspark.sql.types import ArrayType, FloatType, LongType, StructField, StructType

ROWS = 60
WAIT_SECONDS = 60


def read(spark, log, kind):
    """Input and prediction of every logged row."""
    if kind == "jsonl":
        lines = read_log(spark, log).select(col("request.body").alias("asked"), col("response.body").alias("given"))
        pairs = [(json.loads(row.asked)["instances"], json.loads(row.given)["predictions"]) for row in lines.collect()]
        return [(x, y["probabilities"]) for xs, ys in pairs for x, y in zip(xs, ys, strict=True)]
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    pairs = []
    for row in read_log(spark, log, "tfrecord").collect():
        logged = prediction_log_pb2.PredictionLog.FromString(bytes(row.record)).predict_log
        pairs.append(
            (
                tf.make_ndarray(logged.request.inputs["instances"]).tolist(),
                tf.make_ndarray(logged.response.outputs["probabilities"]).tolist(),
            )
        )
    return [(x, y) for xs, ys in pairs for x, y in zip(xs, ys, strict=True)]


def keyed(pairs):
    return sorted((tuple(np.float32(x).tolist()), tuple(np.float32(y).tolist())) for x, y in pairs)


def run(spark, arguments):
    url, log, kind = arguments
    inputs = np.random.default_rng(2).integers(0, 17, (ROWS, 64)).astype("float32").tolist()
    schema = StructType([StructField("id", LongType()), StructField("features", ArrayType(FloatType()))])
    df = spark.createDataFrame([(i, row) for i, row in enumerate(inputs + inputs)], schema)
    scores = score(df, url, "digits", inputs="features", protocol="v1", output_name="probabilities", batch_rows=10)
    scored = scores.collect()
    until = time.monotonic() + WAIT_SECONDS
    logged = []
    while len(logged) < 2 * ROWS and time.monotonic() < until:
        try:
            logged = read(spark, log, kind)
        except Exception as error:  # The folder is empty until the first file is whole.
            if "does not exist" not in str(error).lower():
                raise
    wanted = keyed((row.features, row.prediction) for row in scored)
    found = keyed(logged)
    if found != wanted:
        raise SystemExit(f"{len(found)} rows in the log, {len(wanted)} scored, equal: {found == wanted}")
    print(f"{len(found)} rows in the log, each as it was scored")

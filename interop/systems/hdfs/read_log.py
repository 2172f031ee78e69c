"""usage: read_log.py URL    prints each record of a prediction log of format jsonl, as Spark reads it: a JSON object a line"""

import sys

from infergate_spark import read_log
from pyspark.sql import SparkSession
from pyspark.sql.functions import col

spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
records = read_log(spark, sys.argv[1]).select(
    col("requestId").alias("id"), col("request.body").alias("asked"), col("response.body").alias("answered"), "cache"
)
for line in records.toJSON().collect():
    print(line)
spark.stop()

"""argument: URL    prints each record of a prediction log of format jsonl, as Spark reads it: a JSON object a line"""

from infergate_spark import read_log
from pyspark.sql.functions import col


def run(spark, arguments):
    records = read_log(spark, arguments[0]).select(
        col("requestId").alias("id"), col("request.body").alias("asked"), col("response.body").alias("answered"), "cache"
    )
    for line in records.toJSON().collect():
        print(line)

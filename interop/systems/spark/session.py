"""
One Spark session for several scripts, which is what takes long to start.

usage: session.py MASTER    then a line for each script: a JSON list of its path and its arguments

A script has a function `run(spark, arguments)`. The answer is a line of JSON: what it has printed, or why it failed.
"""

import contextlib
import importlib.util
import io
import json
import sys

from pyspark.sql import SparkSession


def load(path: str):
    spec = importlib.util.spec_from_file_location("script", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


spark = SparkSession.builder.master(sys.argv[1]).config("spark.ui.enabled", "false").getOrCreate()
for line in sys.stdin:
    script, *arguments = json.loads(line)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            load(script).run(spark, arguments)
        answer = {"printed": printed.getvalue()}
    except (Exception, SystemExit) as error:
        answer = {"failed": f"{printed.getvalue()}{error}"}
    print(json.dumps(answer), flush=True)
spark.stop()

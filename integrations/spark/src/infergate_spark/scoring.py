"""Scoring as a pandas UDF: each task sends its rows in batches over one connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql.functions import array, col
from pyspark.sql.pandas.functions import pandas_udf

from .client import Client, ScoringError
from .dialects import DTYPES, V1, V2, Dialect
from .summary import Summary, counts_of


def score(
    df: DataFrame,
    url: str,
    model: str,
    *,
    inputs: str | Sequence[str],
    output: str = "prediction",
    returns: str = "array<double>",
    protocol: str = "v2",
    version: str | None = None,
    input_name: str = "x",
    datatype: str = "FP32",
    output_name: str | None = None,
    batch_rows: int = 128,
    deadline: float = 60.0,
    headers: Mapping[str, str] | None = None,
    summary: Summary | None = None,
) -> DataFrame:
    """
    The DataFrame with a further column: the model's prediction for each row.

    inputs: a column of arrays, each the input of one row; or the names of numeric columns, which make an array.
    returns: Spark's type of a prediction: `array<double>` for a vector, `double` or `long` for a number.
    protocol: `v2` (binary tensors) or `v1` (TensorFlow Serving's JSON).
    input_name, datatype: of the one input tensor, shaped [rows, values], for `v2`.
    output_name: which output, where the model has several; by default the first of `v2`, and the whole of `v1`.
    batch_rows: rows of one request. deadline: seconds that a request may take with all of its retries.
    headers: further fields, such as Authorization. They are in the query plan, which Spark shows to who may see it.
    summary: gets the counts of rows hit and missed.

    A row that the model server refuses fails the query with a ScoringError.
    """
    if datatype not in DTYPES:
        raise ValueError(f"datatype {datatype} is not one of {', '.join(DTYPES)}")
    dialect = _dialect(protocol, model, version, input_name, datatype, output_name)
    fields = dict(headers or {})

    def predict(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        client = Client(url, deadline, fields)
        try:
            for rows in batches:
                yield pd.Series(_scored(rows, client, dialect, batch_rows, summary), dtype=object)
        finally:
            client.close()

    column = col(inputs) if isinstance(inputs, str) else array(*[col(name) for name in inputs])
    # Its stubs have no form of a UDF whose kind is told by the annotations.
    udf = pandas_udf(predict, returns)  # type: ignore[call-overload]
    return df.withColumn(output, udf(column))


def _dialect(
    protocol: str, model: str, version: str | None, input_name: str, datatype: str, output_name: str | None
) -> Dialect:
    if protocol == "v2":
        return V2(model, version, input_name, datatype, output_name)
    if protocol == "v1":
        return V1(model, version, output_name)
    raise ValueError(f"protocol {protocol} is neither v1 nor v2")


def _scored(
    rows: pd.Series, client: Client, dialect: Dialect, batch_rows: int, summary: Summary | None
) -> list[Any]:
    scored: list[Any] = []
    for start in range(0, len(rows), batch_rows):
        batch: NDArray[Any] = np.stack([np.asarray(row) for row in rows.iloc[start : start + batch_rows]])
        request = dialect.request(batch)
        answer = client.post(request.path, request.body, request.headers)
        predictions = dialect.predictions(answer.headers, answer.body)
        if len(predictions) != len(batch):
            raise ScoringError(f"{request.path} answered {len(predictions)} predictions to {len(batch)} rows")
        if summary is not None:
            counts = counts_of(answer.headers.get("cache-status"), len(batch))
            summary.add(replace(counts, retries=answer.retries))
        scored.extend(predictions)
    return scored

"""The dialects of model servers that rows are sent in: from a matrix of inputs to a list of predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

DTYPES: dict[str, str] = {
    "BOOL": "?",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}

LENGTH = "inference-header-content-length"


@dataclass(frozen=True)
class Request:
    path: str
    body: bytes
    headers: Mapping[str, str]


class Dialect(Protocol):
    def request(self, rows: NDArray[Any]) -> Request: ...

    def predictions(self, headers: Mapping[str, str], body: bytes) -> list[Any]:
        """One for each row, in their order."""


@dataclass(frozen=True)
class V2:
    """The Open Inference protocol with binary tensors."""

    model: str
    version: str | None
    input_name: str
    datatype: str
    output_name: str | None

    def request(self, rows: NDArray[Any]) -> Request:
        blob = np.ascontiguousarray(rows, dtype=DTYPES[self.datatype]).tobytes()
        tensor = {
            "name": self.input_name,
            "datatype": self.datatype,
            "shape": list(rows.shape),
            "parameters": {"binary_data_size": len(blob)},
        }
        wanted = {} if self.output_name is None else {"outputs": [{"name": self.output_name}]}
        head = json.dumps({"inputs": [tensor], **wanted, "parameters": {"binary_data_output": True}}).encode()
        version = "" if self.version is None else f"/versions/{quote(self.version, safe='')}"
        path = f"/v2/models/{quote(self.model, safe='')}{version}/infer"
        headers = {"content-type": "application/octet-stream", LENGTH: str(len(head))}
        return Request(path, head + blob, headers)

    def predictions(self, headers: Mapping[str, str], body: bytes) -> list[Any]:
        end = int(headers.get(LENGTH, len(body)))
        at = end
        for output in json.loads(body[:end])["outputs"]:
            size = output.get("parameters", {}).get("binary_data_size")
            blob = body[at : at + (size or 0)]
            at += size or 0
            if self.output_name in (None, output["name"]):
                values = output["data"] if size is None else np.frombuffer(blob, DTYPES[output["datatype"]])
                listed: list[Any] = np.asarray(values).reshape(output["shape"]).tolist()
                return listed
        raise ValueError(f"the answer has no output {self.output_name}")


@dataclass(frozen=True)
class V1:
    """TensorFlow Serving's REST protocol, by row."""

    model: str
    version: str | None
    output_name: str | None

    def request(self, rows: NDArray[Any]) -> Request:
        version = "" if self.version is None else f"/versions/{quote(self.version, safe='')}"
        path = f"/v1/models/{quote(self.model, safe='')}{version}:predict"
        body = json.dumps({"instances": rows.tolist()}).encode()
        return Request(path, body, {"content-type": "application/json"})

    def predictions(self, headers: Mapping[str, str], body: bytes) -> list[Any]:
        listed = json.loads(body)["predictions"]
        return listed if self.output_name is None else [row[self.output_name] for row in listed]

"""Triton by pytriton: `server.py HTTP_PORT GRPC_PORT METRICS_PORT DIGITS.onnx`.

digits: the ONNX model, run by onnxruntime. echo_TYPE: gives back what it got, one model a datatype. mean: takes the
mean of the batch away, so that a row depends on its neighbours. counts: gives three answers. fails: refuses thirteen.
All are pytriton's but echo_bfloat16, which Triton runs itself.
"""

import json
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from tritonclient.http import InferenceServerClient

HTTP_PORT, GRPC_PORT, METRICS_PORT = map(int, sys.argv[1:4])
TYPES = ["bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[4], options)


@batch
def digits(image):
    probabilities, digit = session.run(["probabilities", "digit"], {"image": image})
    # On this platform numpy has two types that are int64, and pytriton takes only one of them.
    return {"probabilities": probabilities, "digit": digit.reshape(-1, 1).astype(np.int64)}


@batch
def echo(x):
    return {"echo_x": x}


@batch
def mean(x):
    return {"y": (x - x.mean(axis=0, keepdims=True)).astype(np.float32)}


@batch
def counts(x):
    for answer in range(3):
        yield {"y": x + answer}


@batch
def fails(x):
    if (x == 13).any():
        raise ValueError("thirteen is unlucky: ünï")
    return {"y": x}


def tensor(name: str, dtype, shape=(-1,)) -> Tensor:
    return Tensor(name=name, dtype=dtype, shape=shape)


config = TritonConfig(
    http_address="127.0.0.1",
    http_port=HTTP_PORT,
    grpc_address="127.0.0.1",
    grpc_port=GRPC_PORT,
    metrics_port=METRICS_PORT,
    exit_on_error=True,
)
triton = Triton(config=config)


def bind(name: str, function, inputs: list, outputs: list, strict: bool = False, decoupled: bool = False) -> None:
    config = ModelConfig(max_batch_size=16, decoupled=decoupled)
    triton.bind(name, function, inputs, outputs, config=config, strict=strict)


def bind_echo(name: str, dtype) -> None:
    bind(f"echo_{name}", echo, [tensor("x", dtype)], [tensor("echo_x", dtype)])


def load_bfloat16() -> None:
    tensor = {"data_type": "TYPE_BF16", "dims": [-1]}
    config = {
        "backend": "python",
        "max_batch_size": 16,
        "input": [{"name": "x", **tensor}],
        "output": [{"name": "echo_x", **tensor}],
        "instance_group": [{"kind": "KIND_CPU"}],
    }
    files = {"file:1/model.py": Path(__file__).with_name("bfloat16.py").read_bytes()}
    client = InferenceServerClient(f"127.0.0.1:{HTTP_PORT}", network_timeout=300)
    headers = {"triton-access-token": triton.get_access_token()}
    client.load_model("echo_bfloat16", headers=headers, config=json.dumps(config), files=files)


# A model loads for seconds, each in a process of its own: the first is there before the rest, which load side by side.
bind("fails", fails, [tensor("x", np.float32)], [tensor("y", np.float32)])
triton.run()
with ThreadPoolExecutor(max_workers=4) as pool:
    outputs = [tensor("probabilities", np.float32, (10,)), tensor("digit", np.int64, (1,))]
    loading = [
        pool.submit(bind, "digits", digits, [tensor("image", np.float32, (64,))], outputs, strict=True),
        pool.submit(bind, "counts", counts, [tensor("x", np.float32)], [tensor("y", np.float32)], decoupled=True),
        pool.submit(bind, "mean", mean, [tensor("x", np.float32)], [tensor("y", np.float32)]),
        *(pool.submit(bind_echo, name, getattr(np, name)) for name in TYPES),
        pool.submit(bind_echo, "bytes", bytes),
        pool.submit(load_bfloat16),
    ]
    for each in loading:
        each.result()
# Triton's server would outlive this process otherwise.
signal.signal(signal.SIGTERM, lambda *_: (triton.stop(), sys.exit(0)))
triton.serve()

"""Writes a Caffe network with fixed weights: `network.py FOLDER` makes net.prototxt and net.caffemodel.

Convolution, ReLU, pooling, an inner product and softmax over pictures of 8 by 8 pixels. A caffemodel is a message
NetParameter of protocol buffers; the few fields that are needed are written here by their numbers in caffe.proto.
"""

import sys
from pathlib import Path

import numpy as np

PROTOTXT = """name: "net"
input: "data"
input_shape { dim: 1 dim: 1 dim: 8 dim: 8 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 3 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""

NET_NAME, NET_LAYER = 1, 100
LAYER_NAME, LAYER_TYPE, LAYER_BOTTOM, LAYER_TOP, LAYER_BLOBS = 1, 2, 3, 4, 7
BLOB_DATA, BLOB_SHAPE, SHAPE_DIM = 5, 7, 1
LENGTH_DELIMITED = 2


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | LENGTH_DELIMITED) + varint(len(value)) + value


def blob(array: np.ndarray) -> bytes:
    shape = field(SHAPE_DIM, b"".join(map(varint, array.shape)))
    return field(BLOB_SHAPE, shape) + field(BLOB_DATA, array.astype("<f4").tobytes())


def layer(name: str, kind: str, bottom: str, *blobs: np.ndarray) -> bytes:
    texts = {LAYER_NAME: name, LAYER_TYPE: kind, LAYER_BOTTOM: bottom, LAYER_TOP: name}
    described = b"".join(field(number, text.encode()) for number, text in texts.items())
    return field(NET_LAYER, described + b"".join(field(LAYER_BLOBS, blob(one)) for one in blobs))


folder = Path(sys.argv[1])
random = np.random.default_rng(1)
conv = layer("conv", "Convolution", "data", random.normal(size=(4, 1, 3, 3)), random.normal(size=4))
product = layer("ip", "InnerProduct", "pool", random.normal(size=(3, 36)) * 0.3, random.normal(size=3))
(folder / "net.prototxt").write_text(PROTOTXT)
(folder / "net.caffemodel").write_bytes(field(NET_NAME, b"net") + conv + product)

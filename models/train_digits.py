"""Trains the digits model that infergate serves by default, and writes the samples that go with it.

The data are the 1,797 images of handwritten digits bundled with scikit-learn (8 x 8 pixels, 0 to 16), so
nothing is downloaded. The network is 64-64-32-10 with the scaling of the pixels inside the graph: clients
send the pixels as they are. The ONNX graph is built by hand so that its face is exactly one input and two
outputs, and so that the same seeds give the same file.

    python train_digits.py            writes digits.onnx, digits-int8.onnx and samples/ beside this file
    python train_digits.py --check    measures the files that are there, and writes nothing
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

SEED = 20260
HERE = pathlib.Path(__file__).resolve().parent
WANTED_ACCURACY = 0.96


def held_out():
    """The data in two parts; the second (a quarter, every digit in proportion) is never trained on."""
    images, digits = load_digits(return_X_y=True)
    return train_test_split(images, digits, test_size=0.25, random_state=SEED, stratify=digits)


def train(images, digits):
    network = MLPClassifier(
        hidden_layer_sizes=(64, 32), alpha=1e-3, learning_rate_init=2e-3, max_iter=200, random_state=SEED
    )
    return network.fit(images / 16.0, digits)


def weights(network):
    """float32 matrices and biases, one pair a layer."""
    return [
        (w.astype(np.float32), b.astype(np.float32)) for w, b in zip(network.coefs_, network.intercepts_)
    ]


def build(layers):
    """image [-1, 64] -> scale -> (MatMul, Add, Relu)* -> Softmax -> probabilities [-1, 10], digit [-1]."""
    constants = [numpy_helper.from_array(np.float32(1 / 16), "pixel_scale")]
    nodes = [helper.make_node("Mul", ["image", "pixel_scale"], ["layer0"], name="scale")]
    for i, (matrix, bias) in enumerate(layers, start=1):
        constants += [numpy_helper.from_array(matrix, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
        last = i == len(layers)
        nodes += [
            helper.make_node("MatMul", [f"layer{i - 1}", f"w{i}"], [f"product{i}"], name=f"matmul{i}"),
            helper.make_node("Add", [f"product{i}", f"b{i}"], ["logits" if last else f"sum{i}"], name=f"add{i}"),
        ]
        if not last:
            nodes.append(helper.make_node("Relu", [f"sum{i}"], [f"layer{i}"], name=f"relu{i}"))
    nodes += [
        helper.make_node("Softmax", ["logits"], ["probabilities"], name="softmax", axis=-1),
        helper.make_node("ArgMax", ["logits"], ["digit"], name="argmax", axis=-1, keepdims=0),
    ]
    return finish(nodes, constants, "digits")


def build_int8(layers):
    """The same network with dynamically quantised products.

    DynamicQuantizeLinear takes one scale over the whole activation tensor, so a row's answer depends on
    the other rows of its batch. That is what this file is for: tests need a model that must not be split.
    The nodes are those that onnxruntime.quantization.quantize_dynamic would insert.
    """
    constants = [numpy_helper.from_array(np.float32(1 / 16), "pixel_scale")]
    nodes = [helper.make_node("Mul", ["image", "pixel_scale"], ["layer0"], name="scale")]
    for i, (matrix, bias) in enumerate(layers, start=1):
        step = np.float32(np.abs(matrix).max() / 127)
        constants += [
            numpy_helper.from_array(np.round(matrix / step).astype(np.int8), f"w{i}_q"),
            numpy_helper.from_array(step, f"w{i}_step"),
            numpy_helper.from_array(np.int8(0), f"w{i}_zero"),
            numpy_helper.from_array(bias, f"b{i}"),
        ]
        x, last = f"layer{i - 1}", i == len(layers)
        nodes += [
            helper.make_node("DynamicQuantizeLinear", [x], [f"x{i}_q", f"x{i}_step", f"x{i}_zero"], name=f"quantize{i}"),
            helper.make_node(
                "MatMulInteger", [f"x{i}_q", f"w{i}_q", f"x{i}_zero", f"w{i}_zero"], [f"integer{i}"], name=f"matmul{i}"
            ),
            helper.make_node("Cast", [f"integer{i}"], [f"float{i}"], name=f"cast{i}", to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"x{i}_step", f"w{i}_step"], [f"step{i}"], name=f"step{i}"),
            helper.make_node("Mul", [f"float{i}", f"step{i}"], [f"product{i}"], name=f"rescale{i}"),
            helper.make_node("Add", [f"product{i}", f"b{i}"], ["logits" if last else f"sum{i}"], name=f"add{i}"),
        ]
        if not last:
            nodes.append(helper.make_node("Relu", [f"sum{i}"], [f"layer{i}"], name=f"relu{i}"))
    nodes += [
        helper.make_node("Softmax", ["logits"], ["probabilities"], name="softmax", axis=-1),
        helper.make_node("ArgMax", ["logits"], ["digit"], name="argmax", axis=-1, keepdims=0),
    ]
    return finish(nodes, constants, "digits-int8")


def finish(nodes, constants, name):
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 64])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10]),
            helper.make_tensor_value_info("digit", TensorProto.INT64, ["N"]),
        ],
        constants,
    )
    model = helper.make_model(
        graph, producer_name="train_digits.py", opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def session(file):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(HERE / file), options, providers=["CPUExecutionProvider"])


def read(net, images):
    return net.run(["probabilities", "digit"], {"image": np.asarray(images, np.float32)})


def write_samples(images, digits):
    """Images of the held-out part: the first 7, the first 3, and the first eight of all."""
    seven, three = (int(np.flatnonzero(digits == d)[0]) for d in (7, 3))
    pixels = [[int(p) for p in image] for image in images]
    infer = {"inputs": [{"name": "image", "shape": [1, 64], "datatype": "FP32", "data": pixels[seven]}]}
    samples = {
        "digit-7.v1.json": {"instances": [pixels[seven]]},
        "digit-3.v1.json": {"instances": [pixels[three]]},
        "digit-7.v2.json": infer,
        "batch.v1.json": {"instances": pixels[:8]},
    }
    (HERE / "samples").mkdir(exist_ok=True)
    for name, body in samples.items():
        (HERE / "samples" / name).write_text(json.dumps(body) + "\n")


def check_samples(net):
    wanted = {"digit-7.v1.json": [7], "digit-3.v1.json": [3], "digit-7.v2.json": [7]}
    for name, digits in wanted.items():
        body = json.loads((HERE / "samples" / name).read_text())
        images = body["instances"] if "instances" in body else [body["inputs"][0]["data"]]
        if read(net, images)[1].tolist() != digits:
            sys.exit(f"samples/{name} is not read as {digits}: train again with another SEED")
    batch = json.loads((HERE / "samples" / "batch.v1.json").read_text())["instances"]
    print(f"samples/batch.v1.json is read as {read(net, batch)[1].tolist()}")


def measure(images, digits):
    for file in ("digits.onnx", "digits-int8.onnx"):
        net = session(file)
        probabilities, answers = read(net, images)
        right = int((answers == digits).sum())
        alone = np.vstack([read(net, image[None])[0] for image in images])
        company = float(np.abs(alone - probabilities).max())
        size = (HERE / file).stat().st_size
        print(
            f"{file}: {right} of {len(digits)} held-out images right ({right / len(digits):.2%}), {size} bytes; "
            f"a row alone and the same row in a batch of {len(digits)} differ by at most {company:.1e}"
        )
        if right / len(digits) < WANTED_ACCURACY:
            sys.exit(f"{file} is under {WANTED_ACCURACY:.0%}: something is wrong with the training")
    check_samples(session("digits.onnx"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="measure the files that are there; write nothing")
    only_check = parser.parse_args().check
    train_images, test_images, train_digits, test_digits = held_out()
    if not only_check:
        layers = weights(train(train_images, train_digits))
        (HERE / "digits.onnx").write_bytes(build(layers))
        (HERE / "digits-int8.onnx").write_bytes(build_int8(layers))
        write_samples(test_images, test_digits)
    measure(test_images, test_digits)


if __name__ == "__main__":
    main()

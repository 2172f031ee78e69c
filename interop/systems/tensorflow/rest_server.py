"""TensorFlow Serving's REST protocol around a SavedModel: `rest_server.py PORT FOLDER`.

No registry has TensorFlow Serving itself. The framework, the model and the messages (tensorflow-serving-api) are
TensorFlow's; the HTTP around them is ours.
"""

import json
import re
import sys
from pathlib import Path

import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow_serving.apis import classification_pb2, get_model_status_pb2, input_pb2, regression_pb2

sys.path.insert(0, str(Path(__file__).parent.parent))
from small_server import Refusal, serve  # noqa: E402

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
SIGNATURES = tf.saved_model.load(FOLDER).signatures
PATH = re.compile(r"/v1/models/net(?:/versions/(\d+))?(?::(predict|classify|regress)|(/metadata))?")


def get(path: str):
    found = PATH.fullmatch(path)
    if not found or (found[1] or "1") != "1":
        raise Refusal(404, f"Servable not found for request: {path}")
    if found[3]:
        return metadata()
    status = get_model_status_pb2.ModelVersionStatus(version=1, state="AVAILABLE")
    status.status.error_code = 0
    described = MessageToDict(status, preserving_proto_field_name=True)
    return {"model_version_status": [{**described, "status": {"error_code": "OK", "error_message": ""}}]}


def metadata():
    def tensor(spec):
        sizes = [{"size": str(-1 if size is None else size), "name": ""} for size in spec.shape]
        return {"dtype": f"DT_{spec.dtype.name.upper()}", "tensor_shape": {"dim": sizes, "unknown_rank": False}}

    def signature(function):
        inputs = {name: tensor(spec) for name, spec in function.structured_input_signature[1].items()}
        outputs = {name: tensor(spec) for name, spec in function.structured_outputs.items()}
        return {"inputs": inputs, "outputs": outputs, "method_name": "tensorflow/serving/predict"}

    described = {name: signature(function) for name, function in SIGNATURES.items()}
    spec = {"name": "net", "signature_name": "", "version": "1"}
    return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": described}}}


def post(path: str, fields, body: bytes):
    found = PATH.fullmatch(path)
    if not found or not found[2] or (found[1] or "1") != "1":
        raise Refusal(404, f"Servable not found for request: {path}")
    asked = json.loads(body)
    if found[2] == "predict":
        return predict(asked)
    examples = example_list(asked)
    serialised = tf.constant([example.SerializeToString() for example in examples.example_list.examples])
    given = SIGNATURES[found[2]](examples=serialised)
    return {"results": classifications(given) if found[2] == "classify" else regressions(given)}


def predict(asked: dict):
    signature = SIGNATURES.get(asked.get("signature_name", "serving_default"))
    if signature is None:
        raise Refusal(400, f"Serving signature name: \"{asked['signature_name']}\" not found in signature def")
    specs = signature.structured_input_signature[1]
    if "instances" in asked:
        rows = asked["instances"]
        named = rows if isinstance(rows[0], dict) else [{next(iter(specs)): row} for row in rows]
        columns = {name: [row[name] for row in named] for name in specs}
    elif "inputs" in asked:
        inputs = asked["inputs"]
        columns = inputs if isinstance(inputs, dict) else {next(iter(specs)): inputs}
    else:
        raise Refusal(400, "Missing 'inputs' or 'instances' key")
    given = signature(**{name: tf.constant(value, specs[name].dtype) for name, value in columns.items()})
    outputs = {name: tensor.numpy().tolist() for name, tensor in given.items()}
    if "inputs" in asked:
        return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}
    if len(outputs) == 1:
        return {"predictions": next(iter(outputs.values()))}
    return {"predictions": [dict(zip(outputs, row)) for row in zip(*outputs.values())]}


def example_list(asked: dict) -> input_pb2.Input:
    message = input_pb2.Input()
    for features in asked["examples"]:
        example = message.example_list.examples.add()
        for name, value in features.items():
            values = value if isinstance(value, list) else [value]
            example.features.feature[name].float_list.value.extend(values)
    return message


def classifications(given: dict):
    result = classification_pb2.ClassificationResult()
    for scores, labels in zip(given["scores"].numpy(), given["classes"].numpy()):
        classes = result.classifications.add().classes
        for score, label in zip(scores, labels):
            classes.add(label=label.decode(), score=float(score))
    return [[[one.label, one.score] for one in row.classes] for row in result.classifications]


def regressions(given: dict):
    result = regression_pb2.RegressionResult()
    for value in given["outputs"].numpy():
        result.regressions.add(value=float(value))
    return [one.value for one in result.regressions]


serve(PORT, get, post)

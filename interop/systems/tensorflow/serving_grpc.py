"""TensorFlow Serving's stubs (tensorflow-serving-api) on grpcio: `serving_grpc.py BASE`."""

import grpc
import numpy as np
import tensorflow as tf
from grpc_cases import TARGET, call, message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]], np.float32)
PAIR = {"a": np.array([1, 2, 3], np.float32), "b": np.array([0.5, 0.25, 8], np.float32)}

channel = grpc.insecure_channel(TARGET)
serving = prediction_service_pb2_grpc.PredictionServiceStub(channel)
status = model_service_pb2_grpc.ModelServiceStub(channel)


def spec(signature: str = "", name: str = "net", **more) -> model_pb2.ModelSpec:
    made = model_pb2.ModelSpec(name=name, signature_name=signature)
    for key, value in more.items():
        if key == "version":
            made.version.value = value
        else:
            setattr(made, key, value)
    return made


def predict(inputs: dict, model=None, content: bool = True, **more) -> object:
    """`content`: the values are in `tensor_content`; otherwise in their typed list."""
    request = predict_pb2.PredictRequest(model_spec=model or spec(), **more)
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value)
        if not content:
            tensor.ClearField("tensor_content")
            tensor.float_val.extend(value.ravel().tolist())
        request.inputs[name].CopyFrom(tensor)
    answer = serving.Predict(request, timeout=20)
    outputs = {name: tf.make_ndarray(one) for name, one in sorted(answer.outputs.items())}
    plain = {name: [str(one.dtype), list(one.shape), [repr(x) for x in one.ravel()]] for name, one in outputs.items()}
    return {"spec": message(answer.model_spec), "outputs": plain}


def examples() -> input_pb2.Input:
    made = input_pb2.Input()
    for row in ROWS:
        made.example_list.examples.add().features.feature["x"].float_list.value.extend(row.tolist())
    return made


def in_context() -> input_pb2.Input:
    made = input_pb2.Input()
    made.example_list_with_context.context.features.feature["x"].float_list.value.extend(ROWS[0].tolist())
    made.example_list_with_context.examples.add()
    return made


def classify(given: input_pb2.Input, signature: str = "classify") -> object:
    request = classification_pb2.ClassificationRequest(model_spec=spec(signature), input=given)
    return message(serving.Classify(request, timeout=20))


def regress() -> object:
    request = regression_pb2.RegressionRequest(model_spec=spec("regress"), input=examples())
    return message(serving.Regress(request, timeout=20))


def multi() -> object:
    request = inference_pb2.MultiInferenceRequest(input=examples())
    for signature in ("classify", "regress"):
        request.tasks.add(model_spec=spec(signature), method_name=f"tensorflow/serving/{signature}")
    return message(serving.MultiInference(request, timeout=20))


def metadata(name: str) -> object:
    request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec(name=name), metadata_field=["signature_def"])
    return message(serving.GetModelMetadata(request, timeout=20))


def model_status(name: str) -> object:
    request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec(name=name))
    return message(status.GetModelStatus(request, timeout=20))


call("Predict", lambda: predict({"x": ROWS}), 1)
call("Predict, typed values", lambda: predict({"x": ROWS}, content=False), 1)
call("Predict, one of its rows", lambda: predict({"x": ROWS[:1]}), 1)
call("Predict, by version", lambda: predict({"x": ROWS}, spec(version=1)), 1)
# Not promised: until it has been polled, nothing is kept of a label.
call("Predict, by label", lambda: predict({"x": ROWS}, spec(version_label="stable")))
call("Predict, two inputs", lambda: predict(PAIR, spec("pair")), 1)
call("Predict, one of two outputs", lambda: predict(PAIR, spec("pair"), output_filter=["sum"]), 1)
call("Classify", lambda: classify(examples()), 1)
call("Classify, with a context", lambda: classify(in_context()), 1)
call("Regress", regress, 1)
call("MultiInference", multi, 1)
call("no such model", lambda: predict({"x": ROWS}, spec(name="absent")))
call("no such version", lambda: predict({"x": ROWS}, spec(version=9)))
call("no such signature", lambda: predict({"x": ROWS}, spec("absent")))
call("rows of the wrong width", lambda: predict({"x": ROWS[:, :2]}))
call("GetModelMetadata", lambda: metadata("net"))
call("GetModelStatus", lambda: model_status("net"))
call("GetModelStatus of a model that is not there", lambda: model_status("absent"))

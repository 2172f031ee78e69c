"""TensorFlow Serving's gRPC services around a SavedModel: `grpc_server.py PORT FOLDER`.

The framework, the model, the messages and the services (tensorflow-serving-api) are TensorFlow's; what answers them is ours.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

PORT, FOLDER = sys.argv[1:3]
SIGNATURES = tf.saved_model.load(FOLDER).signatures


def asked(spec, context, default="serving_default"):
    """The signature that a ModelSpec names."""
    wrong_version = spec.HasField("version") and spec.version.value != 1
    if spec.name != "net" or wrong_version or spec.version_label not in ("", "stable"):
        context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {spec.name}")
    signature = SIGNATURES.get(spec.signature_name or default)
    if signature is None:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f'Serving signature "{spec.signature_name}" not found: ünï')
    return signature


def answered(spec, into, default="serving_default"):
    into.name, into.signature_name = "net", spec.signature_name or default
    into.version.value = 1


def examples(message) -> tf.Tensor:
    listed = message.example_list.examples
    if message.WhichOneof("kind") == "example_list_with_context":
        context = message.example_list_with_context.context
        listed = [tf.train.Example() for _ in message.example_list_with_context.examples]
        for merged, own in zip(listed, message.example_list_with_context.examples):
            merged.CopyFrom(context)
            merged.MergeFrom(own)
    return tf.constant([example.SerializeToString() for example in listed])


def classifications(signature, message) -> classification_pb2.ClassificationResult:
    given = signature(examples=examples(message))
    result = classification_pb2.ClassificationResult()
    for scores, labels in zip(given["scores"].numpy(), given["classes"].numpy()):
        classes = result.classifications.add().classes
        for score, label in zip(scores, labels):
            classes.add(label=label.decode(), score=float(score))
    return result


def regressions(signature, message) -> regression_pb2.RegressionResult:
    values = signature(examples=examples(message))["outputs"].numpy()
    return regression_pb2.RegressionResult(regressions=[{"value": float(value)} for value in values])


class Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    def Predict(self, request, context):
        signature = asked(request.model_spec, context)
        try:
            given = signature(**{name: tf.constant(tf.make_ndarray(one)) for name, one in request.inputs.items()})
        except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error).split("\n")[0])
        answer = predict_pb2.PredictResponse()
        answered(request.model_spec, answer.model_spec)
        for name in request.output_filter or given:
            answer.outputs[name].CopyFrom(tf.make_tensor_proto(given[name].numpy()))
        return answer

    def Classify(self, request, context):
        result = classifications(asked(request.model_spec, context, "classify"), request.input)
        answer = classification_pb2.ClassificationResponse(result=result)
        answered(request.model_spec, answer.model_spec, "classify")
        return answer

    def Regress(self, request, context):
        result = regressions(asked(request.model_spec, context, "regress"), request.input)
        answer = regression_pb2.RegressionResponse(result=result)
        answered(request.model_spec, answer.model_spec, "regress")
        return answer

    def MultiInference(self, request, context):
        answer = inference_pb2.MultiInferenceResponse()
        for task in request.tasks:
            signature = asked(task.model_spec, context)
            one = answer.results.add()
            answered(task.model_spec, one.model_spec)
            if task.method_name == "tensorflow/serving/classify":
                one.classification_result.CopyFrom(classifications(signature, request.input))
            else:
                one.regression_result.CopyFrom(regressions(signature, request.input))
        return answer

    def GetModelMetadata(self, request, context):
        asked(request.model_spec, context)
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        answered(request.model_spec, answer.model_spec)
        return answer


class Status(model_service_pb2_grpc.ModelServiceServicer):
    def GetModelStatus(self, request, context):
        asked(request.model_spec, context)
        answer = get_model_status_pb2.GetModelStatusResponse()
        answer.model_version_status.add(version=1, state="AVAILABLE")
        return answer


server = grpc.server(ThreadPoolExecutor(4))
prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Prediction(), server)
model_service_pb2_grpc.add_ModelServiceServicer_to_server(Status(), server)
if server.add_insecure_port(f"127.0.0.1:{PORT}") == 0:
    raise SystemExit(f"port {PORT} is taken")
server.start()
server.wait_for_termination()

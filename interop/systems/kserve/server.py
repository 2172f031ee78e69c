"""KServe's own Python server: `server.py HTTP_PORT GRPC_PORT torch` or `… FOLDER_OF_A_SAVED_MODEL`.

net: four numbers in, three probabilities out, over V1 and V2. echo: gives every V2 input back. odd: V1 answers that are
not plain rows of numbers.
"""

import sys

import numpy as np

HTTP_PORT, GRPC_PORT, NETWORK = sys.argv[1:4]
# KServe reads its flags when it is imported.
sys.argv[1:] = [f"--http_port={HTTP_PORT}", f"--grpc_port={GRPC_PORT}"]

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer  # noqa: E402
from kserve.errors import InvalidInput  # noqa: E402


def torch_network():
    import torch

    torch.manual_seed(1)
    torch.set_num_threads(1)
    layers = torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3), torch.nn.Softmax(1)
    net = torch.nn.Sequential(*layers).eval()
    return lambda rows: net(torch.from_numpy(rows)).detach().numpy()


def tensorflow_network(folder: str):
    import tensorflow as tf

    signature = tf.saved_model.load(folder).signatures["serving_default"]
    return lambda rows: signature(x=tf.constant(rows))["probabilities"].numpy()


def answer(model: Model, request: InferRequest, arrays: dict) -> InferResponse:
    outputs = []
    for name, (datatype, array) in arrays.items():
        output = InferOutput(name=name, shape=list(array.shape), datatype=datatype)
        output.set_data_from_numpy(array, binary_data=False)
        outputs.append(output)
    return InferResponse(
        response_id=request.id,
        model_name=model.name,
        infer_outputs=outputs,
        use_binary_outputs=request.use_binary_outputs,
        requested_outputs=request.request_outputs,
    )


class Net(Model):
    def __init__(self, name: str, network):
        super().__init__(name)
        self.network = network
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        if isinstance(payload, InferRequest):
            rows = np.array(payload.inputs[0].as_numpy(), np.float32)
            return answer(self, payload, {"probabilities": ("FP32", self.network(rows))})
        try:
            rows = np.array(payload["instances"], np.float32)
        except (KeyError, ValueError) as error:
            raise InvalidInput(str(error)) from error
        return {"predictions": self.network(rows).tolist()}

    def explain(self, payload, headers=None):
        return {"explanations": [[1.0] * 4 for _ in payload["instances"]]}


class Echo(Model):
    def __init__(self, name: str):
        super().__init__(name)
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        arrays = {f"echo_{one.name}": (one.datatype, one.as_numpy()) for one in payload.inputs}
        return answer(self, payload, arrays)


class Odd(Model):
    """`mode` says what is odd about the answer."""

    def __init__(self, name: str):
        super().__init__(name)
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        rows = payload.get("instances", payload.get("inputs"))
        mode = payload.get("mode", "texts")
        if mode == "texts":
            return {"predictions": [{"text": str(row).upper()} for row in rows]}
        if mode == "one for all":
            return {"predictions": [float(np.mean(rows))]}
        if mode == "each depends on all":
            return {"predictions": (np.array(rows) - np.mean(rows)).tolist()}
        if mode == "long numbers":
            return {"predictions": [1e-7, 12345678901234567890, 0.1, -0.0][: len(rows)]}
        if mode == "further members":
            return {"predictions": rows, "count": len(rows)}
        raise InvalidInput(f"no mode {mode}, ünï")


if __name__ == "__main__":
    network = torch_network() if NETWORK == "torch" else tensorflow_network(NETWORK)
    ModelServer(workers=1).start([Net("net", network), Echo("echo"), Odd("odd")])

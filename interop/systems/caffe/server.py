"""A Caffe network run by OpenCV 4, behind V1 and V2 over HTTP: `server.py PORT FOLDER`, with the files of network.py."""

import json
import sys
import threading
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from small_server import Refusal, serve  # noqa: E402

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
cv2.setNumThreads(1)
NET = cv2.dnn.readNetFromCaffe(f"{FOLDER}/net.prototxt", f"{FOLDER}/net.caffemodel")
ONE_AT_A_TIME = threading.Lock()

DESCRIBED = {
    "/v1/models/net": {
        "model_version_status": [
            {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    },
    "/v2": {"name": "opencv", "version": cv2.__version__, "extensions": ["binary_tensor_data"]},
    "/v2/health/live": {"live": True},
    "/v2/health/ready": {"ready": True},
    "/v2/models/net/ready": {"name": "net", "ready": True},
    "/v2/models/net": {
        "name": "net",
        "versions": ["1"],
        "platform": "caffe",
        "inputs": [{"name": "data", "datatype": "FP32", "shape": [-1, 1, 8, 8]}],
        "outputs": [{"name": "prob", "datatype": "FP32", "shape": [-1, 3]}],
    },
}


def forward(pictures: np.ndarray) -> np.ndarray:
    if pictures.ndim != 4 or pictures.shape[1:] != (1, 8, 8):
        raise Refusal(400, f"expected the shape [-1, 1, 8, 8], got {list(pictures.shape)}")
    with ONE_AT_A_TIME:
        NET.setInput(np.ascontiguousarray(pictures, np.float32), "data")
        return NET.forward().copy()


def get(path: str):
    if path not in DESCRIBED:
        raise Refusal(404, f"there is no {path}")
    return DESCRIBED[path]


def post(path: str, fields, body: bytes):
    if path == "/v1/models/net:predict":
        return {"predictions": forward(np.array(json.loads(body)["instances"], np.float32)).tolist()}
    if path != "/v2/models/net/infer":
        raise Refusal(404, f"there is no {path}")
    split = int(fields.get("inference-header-content-length", len(body)))
    asked = json.loads(body[:split])
    tensor = asked["inputs"][0]
    is_binary = "binary_data_size" in tensor.get("parameters", {})
    data = np.frombuffer(body[split:], "<f4") if is_binary else np.array(tensor["data"], np.float32)
    return infer_answer(asked, forward(data.reshape(tensor["shape"])))


def infer_answer(asked: dict, prob: np.ndarray):
    output = {"name": "prob", "datatype": "FP32", "shape": list(prob.shape)}
    answer = {"model_name": "net", "model_version": "1", "outputs": [output]}
    if "id" in asked:
        answer["id"] = asked["id"]
    by_default = asked.get("parameters", {}).get("binary_data_output", False)
    wished = (asked.get("outputs") or [{}])[0].get("parameters", {})
    if not wished.get("binary_data", by_default):
        output["data"] = prob.ravel().tolist()
        return answer
    output["parameters"] = {"binary_data_size": prob.nbytes}
    head = json.dumps(answer).encode()
    fields = {"content-type": "application/octet-stream", "inference-header-content-length": len(head)}
    return 200, fields, head + prob.astype("<f4").tobytes()


serve(PORT, get, post)

"""tritonclient over HTTP: `triton_http.py PLAN BASE`.

PLAN names models: `{"model", "input", "datatype", "shape", "value", "outputs", "cached"}` each are asked with JSON and
with binary tensors, one by one and by the asynchronous calls; besides, what the client asks of a server.
"""

import json
import sys

import numpy as np
import tritonclient.http as triton
from cases import BASE, attempt
from tritonclient.utils import triton_to_np_dtype

plan = json.load(open(sys.argv[1]))
client = triton.InferenceServerClient(BASE.split("//")[1], concurrency=2)


def shown(result: triton.InferResult, outputs: list) -> dict:
    def plain(array: np.ndarray) -> list:
        flat = array.astype(object).ravel().tolist()
        return [element.decode() if isinstance(element, bytes) else repr(element) for element in flat]

    arrays = {name: result.as_numpy(name) for name in outputs}
    return {name: [str(a.dtype), list(a.shape), plain(a)] for name, a in arrays.items()}


def ask(model: dict, binary: bool, asynchronous: bool = False) -> dict:
    dtype = np.object_ if model["datatype"] == "BYTES" else triton_to_np_dtype(model["datatype"])
    value = np.array(model["value"], dtype=dtype).reshape(model["shape"])
    tensor = triton.InferInput(model["input"], model["shape"], model["datatype"])
    tensor.set_data_from_numpy(value, binary_data=binary)
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in model["outputs"]]
    if asynchronous:
        return shown(client.async_infer(model["model"], [tensor], outputs=outputs).get_result(), model["outputs"])
    return shown(client.infer(model["model"], [tensor], outputs=outputs), model["outputs"])


for one in plan["models"]:
    title = f"{one['model']} {one['datatype']}"
    for form in one.get("forms", ["json", "binary"]):
        binary = form == "binary"
        attempt(f"{title} {form}", lambda: ask(one, binary), one.get("cached", 1))
        attempt(f"{title} {form}, async_infer", lambda: ask(one, binary, True), one.get("cached", 1))
first = plan["models"][0]["model"]
attempt("is_server_live", client.is_server_live)
attempt("is_server_ready", client.is_server_ready)
attempt("is_model_ready", lambda: client.is_model_ready(first))
attempt("is_model_ready of a model that is not there", lambda: client.is_model_ready("absent"))
attempt("get_server_metadata", client.get_server_metadata)
attempt("get_model_metadata", lambda: client.get_model_metadata(first))
attempt("get_model_metadata of a model that is not there", lambda: client.get_model_metadata("absent"))
for name in plan.get("calls", ()):
    attempt(name, getattr(client, name))

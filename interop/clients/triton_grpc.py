"""tritonclient over gRPC: `triton_grpc.py PLAN BASE`, PLAN as `triton_http.py` has it.

Each model is asked by every way that the client has of asking; besides, what must be refused (`"refused"`), what is asked
over one stream (`"streamed"`; `"answers"` is how many come of one request), and what the client asks of a server (`"calls"`).
"""

import json
import queue
import sys

import numpy as np
import tritonclient.grpc as triton
from grpc_cases import TARGET, call, message, raised
from tritonclient.utils import triton_to_np_dtype

plan = json.load(open(sys.argv[1]))
client = triton.InferenceServerClient(TARGET)


def shown(result: triton.InferResult, outputs: list) -> dict:
    def plain(array: np.ndarray) -> list:
        flat = array.astype(object).ravel().tolist()
        return [element.decode() if isinstance(element, bytes) else repr(element) for element in flat]

    arrays = {name: result.as_numpy(name) for name in outputs}
    head = result.get_response()
    about = [head.id, head.model_name, head.model_version, [output.datatype for output in head.outputs]]
    return {"about": about, **{name: [str(a.dtype), list(a.shape), plain(a)] for name, a in arrays.items()}}


def tensors(model: dict) -> dict:
    dtype = np.object_ if model["datatype"] == "BYTES" else triton_to_np_dtype(model["datatype"])
    value = np.array(model["value"], dtype=object).astype(dtype).reshape(model["shape"])
    tensor = triton.InferInput(model["input"], model["shape"], model["datatype"])
    tensor.set_data_from_numpy(value)
    outputs = [triton.InferRequestedOutput(name) for name in model["outputs"]]
    return {"model_name": model["model"], "inputs": [tensor], "outputs": outputs}


def infer(model: dict, **more) -> dict:
    return shown(client.infer(**tensors(model), client_timeout=20, **more), model["outputs"])


def async_infer(model: dict) -> dict:
    answers = queue.Queue()
    client.async_infer(callback=lambda result, error: answers.put((result, error)), client_timeout=20, **tensors(model))
    result, error = answers.get(timeout=20)
    if error:
        raise error
    return shown(result, model["outputs"])


def stream(models: list) -> list:
    """All asked at once over one stream; each answer is known by the id of its request."""
    answers = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    try:
        for at, model in enumerate(models):
            client.async_stream_infer(request_id=str(at), **tensors(model))
        got = [answers.get(timeout=20) for _ in range(sum(model.get("answers", 1) for model in models))]
    finally:
        client.stop_stream()
    return sorted(
        (raised(error) if error else shown(result, [output.name for output in result.get_response().outputs]) for result, error in got),
        key=json.dumps,
    )


for one in plan["models"]:
    title, cached = f"{one['model']} {one['datatype']}", one.get("cached", 1)
    call(f"{title} infer", lambda: infer(one, request_id="7"), cached)
    call(f"{title} async_infer", lambda: async_infer(one), cached)
first = plan["models"][0]
for algorithm in ("gzip", "deflate"):
    call(f"infer, {algorithm}", lambda: infer(first, compression_algorithm=algorithm), first.get("cached", 1))
call("infer, by version", lambda: infer(first, model_version="1"), first.get("cached", 1))
for one in plan.get("refused", ()):
    call(one["case"], lambda: infer(one, **one.get("more", {})))
if streamed := plan.get("streamed"):
    call("one stream of all", lambda: stream(streamed))
name = first["model"]
call("is_server_live", client.is_server_live)
call("is_server_ready", client.is_server_ready)
call("is_model_ready", lambda: client.is_model_ready(name))
call("is_model_ready of a model that is not there", lambda: client.is_model_ready("absent"))
call("get_server_metadata", lambda: message(client.get_server_metadata()))
call("get_model_metadata", lambda: message(client.get_model_metadata(name)))
call("get_model_metadata of a model that is not there", lambda: message(client.get_model_metadata("absent")))
for method, arguments in plan.get("calls", ()):
    call(f"{method} {' '.join(arguments)}".strip(), lambda: message(getattr(client, method)(*arguments)))

"""KServe's own client, InferenceRESTClient: `sdk.py BASE`."""

import asyncio

import numpy as np
from cases import BASE, attempt
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.constants.constants import PredictorProtocol

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]]


def request(binary: bool) -> InferRequest:
    tensor = InferInput(name="x", shape=[2, 4], datatype="FP32")
    tensor.set_data_from_numpy(np.array(ROWS, np.float32), binary_data=binary)
    return InferRequest(model_name="net", infer_inputs=[tensor], request_id="7")


def shown(answer) -> object:
    return answer if isinstance(answer, dict) else answer.to_rest()[0]


async def main() -> None:
    v1 = InferenceRESTClient(RESTConfig(protocol=PredictorProtocol.REST_V1))
    v2 = InferenceRESTClient(RESTConfig(protocol=PredictorProtocol.REST_V2))

    async def one(case: str, call, cached: int = 0) -> None:
        try:
            answer = await call()
        except Exception as error:  # noqa: BLE001, an error is an answer
            failure = error
            attempt(case, lambda: (_ for _ in ()).throw(failure), cached)
        else:
            attempt(case, lambda: answer, cached)

    async def infer(client, data, model="net"):
        return shown(await client.infer(BASE, data, model_name=model))

    await one("V1 predict", lambda: infer(v1, {"instances": ROWS}), 1)
    await one("V2 infer, JSON", lambda: infer(v2, request(False)), 1)
    await one("V2 infer, binary", lambda: infer(v2, request(True)), 1)
    await one("V1 predict of a model that is not there", lambda: infer(v1, {"instances": ROWS}, "absent"))
    await one("V1 explain", lambda: v1.explain(BASE, "net", {"instances": ROWS}))
    await one("is_server_live", lambda: v2.is_server_live(BASE))
    await one("is_server_ready", lambda: v2.is_server_ready(BASE))
    await one("is_model_ready", lambda: v2.is_model_ready(BASE, "net"))
    await one("is_model_ready of a model that is not there", lambda: v2.is_model_ready(BASE, "absent"))


asyncio.run(main())

"""KServe's own client over gRPC, InferenceGRPCClient: `sdk_grpc.py BASE`. Each datatype with typed and with raw values."""

import asyncio

import numpy as np
from grpc_cases import TARGET, raised, say
from kserve import InferenceGRPCClient, InferInput, InferRequest

SAMPLES = {
    "BOOL": np.array([True, False]),
    **{f"INT{bits}": np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1], f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.array([0, 2**bits - 1], f"uint{bits}") for bits in (8, 16, 32, 64)},
    "FP16": np.array([0.5, -65504], np.float16),
    "FP32": np.array([0.1, -0.0], np.float32),
    "FP64": np.array([0.1, 5e-324]),
    "BYTES": np.array([b"plain", "ünï 日本".encode()], np.object_),
}
ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]], np.float32)


def request(model: str, datatype: str, value: np.ndarray, raw: bool) -> InferRequest:
    tensor = InferInput(name="x", shape=list(value.shape), datatype=datatype)
    tensor.set_data_from_numpy(value, binary_data=raw)
    return InferRequest(model_name=model, infer_inputs=[tensor], request_id="7")


def shown(answer) -> object:
    def plain(output) -> list:
        flat = output.as_numpy().astype(object).ravel().tolist()
        return [element.decode() if isinstance(element, bytes) else repr(element) for element in flat]

    outputs = {one.name: [one.datatype, list(one.shape), plain(one)] for one in answer.outputs}
    return {"id": answer.id, "model": answer.model_name, "outputs": outputs}


async def main() -> None:
    async with InferenceGRPCClient(TARGET, timeout=20) as client:

        async def one(case: str, call, cached: int = 0) -> None:
            try:
                answer = await call()
            except Exception as error:  # noqa: BLE001, an error is an answer
                say(case, raised(error), cached)
            else:
                say(case, answer, cached)

        async def infer(*asked) -> object:
            return shown(await client.infer(request(*asked)))

        for raw in (False, True):
            form = "raw" if raw else "typed"
            await one(f"net, {form}", lambda: infer("net", "FP32", ROWS, raw), 1)
            for datatype, value in SAMPLES.items():
                # It has no typed values.
                if raw or datatype != "FP16":
                    await one(f"{datatype}, {form}", lambda: infer("echo", datatype, value, raw), 1)
        await one("no such model", lambda: infer("absent", "FP32", ROWS, False))
        await one("rows of the wrong width", lambda: infer("net", "FP32", ROWS[:, :2], False))
        await one("is_server_live", client.is_server_live)
        await one("is_server_ready", client.is_server_ready)
        await one("is_model_ready", lambda: client.is_model_ready("net"))
        await one("is_model_ready of a model that is not there", lambda: client.is_model_ready("absent"))


asyncio.run(main())

"""Models of our own for MLServer, each with one trait that a gateway has to get right."""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, Parameters, ResponseOutput


class Echo(MLModel):
    """Gives every input back as an output; the parameter k of the request, if there is one, stands in the outputs."""

    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        k = getattr(payload.parameters, "k", None) if payload.parameters else None
        parameters = None if k is None else Parameters(k=k)
        outputs = [
            ResponseOutput(
                name=f"echo_{one.name}",
                shape=one.shape,
                datatype=one.datatype,
                data=self.elements(one),
                parameters=parameters,
            )
            for one in payload.inputs
        ]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)

    @staticmethod
    def elements(one):
        data = getattr(one.data, "root", one.data)
        if one.datatype != "BYTES":
            return data
        return [element.decode() if isinstance(element, bytes) else element for element in data]


class Text(MLModel):
    """Upper case, whose length differs from that of the text (ß becomes SS)."""

    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        texts = StringCodec.decode_input(payload.inputs[0])
        output = StringCodec.encode_output("upper", [text.upper() for text in texts])
        return InferenceResponse(model_name=self.name, outputs=[output])


class Tenant(MLModel):
    """Reads a header field, which the operator must name in `vary`."""

    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        headers = (payload.parameters.headers if payload.parameters else None) or {}
        output = StringCodec.encode_output("tenant", [headers.get("x-tenant", "nobody")])
        return InferenceResponse(model_name=self.name, outputs=[output])


class Net(MLModel):
    """A small PyTorch network of fixed weights: four numbers in, three probabilities out."""

    async def load(self) -> bool:
        import torch

        torch.manual_seed(1)
        torch.set_num_threads(1)
        layers = torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3), torch.nn.Softmax(1)
        self.torch = torch
        self.net = torch.nn.Sequential(*layers).eval()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32)
        with self.torch.no_grad():
            probabilities = self.net(self.torch.from_numpy(rows)).numpy()
        output = NumpyCodec.encode_output("probabilities", probabilities)
        return InferenceResponse(model_name=self.name, outputs=[output])

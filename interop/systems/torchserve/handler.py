"""A TorchServe handler: a small network of fixed weights over JSON rows, raw floats, or pictures.

The answer names the tenant that asked (a header field). A JSON body with `raw` is answered with bytes, one with `pieces`
with a stream, one with `fail` with an error.
"""

import io

import torch
from PIL import Image
from ts.handler_utils.utils import send_intermediate_predict_response
from ts.torch_handler.base_handler import BaseHandler


class Handler(BaseHandler):
    def initialize(self, context):
        torch.manual_seed(1)
        torch.set_num_threads(1)
        layers = torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3), torch.nn.Softmax(1)
        self.net = torch.nn.Sequential(*layers).eval()
        self.context = context
        self.initialized = True

    def handle(self, data, context):
        return [self.answer(row.get("body", row.get("data")), index, context) for index, row in enumerate(data)]

    def answer(self, body, index, context):
        wish = body if isinstance(body, dict) else {}
        if wish.get("fail"):
            raise ValueError("the model failed: ünï")
        if wish.get("pieces"):
            for piece in range(3):
                send_intermediate_predict_response(
                    [f"piece {piece}\n"], context.request_ids, "Intermediate", 200, context
                )
            return "the last\n"
        with torch.no_grad():
            probabilities = self.net(self.rows(body))
        if wish.get("raw"):
            return probabilities.numpy().tobytes()
        tenant = context.get_request_header(index, "x-tenant") or "nobody"
        return {"probabilities": probabilities.tolist(), "tenant": tenant}

    def explain_handle(self, data, raw_data, target):
        return [[1.0] * 4 for _ in data]

    @staticmethod
    def rows(body) -> torch.Tensor:
        if isinstance(body, dict):
            return torch.tensor(body["instances"], dtype=torch.float32)
        if bytes(body[:4]) == b"\x89PNG":
            pixel = Image.open(io.BytesIO(body)).convert("RGBA").resize((1, 1)).getpixel((0, 0))
            return torch.tensor([pixel], dtype=torch.float32) / 255
        return torch.frombuffer(bytearray(body), dtype=torch.float32)[None, :4]

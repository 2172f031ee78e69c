"""A BentoML service: scores of rows, and a greeting."""

import bentoml
import numpy as np


@bentoml.service(traffic={"timeout": 20}, workers=1)
class Probe:
    def __init__(self):
        self.weights = np.random.default_rng(1).normal(size=(4, 3))

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=500)
    def score(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(x, float) @ self.weights

    @bentoml.api
    def greet(self, name: str, times: int = 1) -> dict:
        return {"text": f"héllo {name} " * times}

    @bentoml.api
    def fail(self, name: str) -> str:
        raise bentoml.exceptions.InvalidArgument(f"{name} is not taken: ünï")

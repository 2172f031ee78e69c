"""A Ray Serve application: `app.py PORT`. A header field chooses the model, and `/stream` answers in pieces."""

import sys
import time

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import StreamingResponse


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Multiplexed:
    @serve.multiplexed(max_num_models_per_replica=3)
    async def factor(self, model: str) -> int:
        return {"one": 1, "ten": 10}.get(model, 100)

    async def __call__(self, request: Request):
        if request.url.path == "/stream":
            return StreamingResponse((f"{number}\n" for number in range(5)), media_type="text/plain")
        factor = await self.factor(serve.get_multiplexed_model_id() or "none")
        asked = await request.json()
        return {"predictions": [row * factor for row in asked["instances"]]}


ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100_000_000)
serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
serve.run(Multiplexed.bind(), route_prefix="/")
while True:
    time.sleep(60)

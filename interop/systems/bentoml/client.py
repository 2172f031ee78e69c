"""BentoML's own client: `client.py BASE`."""

import bentoml
import numpy as np
from cases import BASE, attempt

with bentoml.SyncHTTPClient(BASE) as client:
    attempt("greet", lambda: client.greet(name="ünï", times=2))
    attempt("score", lambda: client.score(x=np.array([[1.0, 2.0, 3.0, 4.0]])).tolist())
    attempt("an argument that is refused", lambda: client.fail(name="nobody"))
    attempt("is_ready", client.is_ready)

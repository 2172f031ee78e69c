"""Writes the model repository that MLServer serves: `models.py FOLDER`.

iris: logistic regression of scikit-learn over four numbers. net: a small PyTorch network, where torch is installed.
echo, text, tenant: runtimes of our own (runtimes.py) that give back every datatype, upper-case text, and a header field.
"""

import importlib.util
import json
import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

folder = Path(sys.argv[1])


def write(name: str, implementation: str, **settings: object) -> Path:
    model = folder / name
    model.mkdir(parents=True)
    described = {"name": name, "implementation": implementation, "cache_enabled": False, **settings}
    (model / "model-settings.json").write_text(json.dumps(described))
    return model


iris = write(
    "iris",
    "mlserver_sklearn.SKLearnModel",
    parameters={"uri": "./model.joblib", "version": "v1.0.0"},
)
joblib.dump(LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True)), iris / "model.joblib")
write("echo", "runtimes.Echo")
write("text", "runtimes.Text")
write("tenant", "runtimes.Tenant")
if importlib.util.find_spec("torch"):
    write("net", "runtimes.Net")

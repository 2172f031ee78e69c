"""The requests library: `plain_requests.py FILE BASE`, where FILE has a list of cases.

A case has a name, method, path, and perhaps fields, a JSON body and `cached`. One session, so connections are kept.
"""

import json
import sys

import requests
from cases import BASE, attempt

session = requests.Session()
session.trust_env = False


def call(case: dict) -> object:
    url = BASE + case["path"]
    answer = session.request(case["method"], url, json=case.get("json"), headers=case.get("fields"), timeout=60)
    try:
        body = answer.json()
    except ValueError:
        body = answer.text
    if isinstance(body, dict):
        for member in case.get("invented", ()):
            body.pop(member, None)
    return {"status": answer.status_code, "type": answer.headers.get("content-type"), "body": body}


for one in json.load(open(sys.argv[1])):
    attempt(one["name"], lambda: call(one), one.get("cached", 0))

"""What a client script says to the suite: a line of JSON for each case."""

import json
import sys

BASE = sys.argv[-1]


def say(case: str, answer: object, cached: int = 0) -> None:
    """`cached` is how many calls of the case are promised to be hits when they come again."""
    print(json.dumps({"case": case, "answer": answer, "cached": cached}), flush=True)


def attempt(case: str, call, cached: int = 0) -> None:
    """Says what the call gives, or which error it raises: errors must be the same through the gateway as well."""
    try:
        answer = call()
    except Exception as error:
        said = str(error).replace(BASE, "BASE").replace(BASE.split("//")[1], "HOST")
        # A promised hit that raises is missed: what the client itself refuses would compare nothing.
        say(case, {"raised": type(error).__name__, "says": said}, cached)
    else:
        say(case, answer, cached)

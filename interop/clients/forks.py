"""Runs a client's script for each base URL that comes on standard input: `forks.py SCRIPT ARGUMENT…`.

Importing a library takes longer than asking with it, so what the script imports is imported once, here, and every run
is a fork of this process. A line of JSON, `{"stdout", "stderr", "code"}`, tells how it went.
"""

import ast
import json
import os
import runpy
import sys
import tempfile

SCRIPT, *ARGUMENTS = sys.argv[1:]
# They read the base URL when they are imported.
OF_A_RUN = {"cases", "grpc_cases"}


def imports(path: str) -> ast.Module:
    """The import statements at the top of a script, in its order."""
    with open(path, encoding="utf-8") as file:
        body = ast.parse(file.read(), path).body
    plain = [one for one in body if isinstance(one, ast.Import)]
    named = [one for one in body if isinstance(one, ast.ImportFrom) and one.module not in OF_A_RUN]
    return ast.Module(sorted([*plain, *named], key=lambda one: one.lineno), [])


exec(compile(imports(SCRIPT), SCRIPT, "exec"), {})

for base in iter(sys.stdin.readline, ""):
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        child = os.fork()
        if child == 0:
            os.dup2(stdout.fileno(), 1)
            os.dup2(stderr.fileno(), 2)
            sys.argv = [SCRIPT, *ARGUMENTS, base.strip()]
            runpy.run_path(SCRIPT, run_name="__main__")
            break
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said = {}
        for name, file in (("stdout", stdout), ("stderr", stderr)):
            file.seek(0)
            said[name] = file.read().decode()
        print(json.dumps({**said, "code": code}), flush=True)

"""The HTTP half of servers of our own: JSON in, JSON or bytes out, errors as `{"error": …}`."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Refusal(Exception):
    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


def serve(port: int, get, post) -> None:
    """`get(path)` and `post(path, fields, body)` give a JSON value, or a triple of status, fields and bytes."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments):
            pass

        def do_GET(self):
            self.answer(lambda: get(self.path))

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            self.answer(lambda: post(self.path, self.headers, body))

        def answer(self, work):
            try:
                given = work()
            except Refusal as error:
                given = error.status, {}, json.dumps({"error": str(error)}).encode()
            except Exception as error:
                given = 400, {}, json.dumps({"error": str(error)}).encode()
            if not isinstance(given, tuple):
                given = 200, {}, json.dumps(given).encode()
            status, fields, body = given
            self.send_response(status)
            for name, value in {"content-type": "application/json", **fields, "content-length": len(body)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body)

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    Server(("127.0.0.1", port), Handler).serve_forever()

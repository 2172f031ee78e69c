"""What needs no Spark: retries, dialects, counts and record files, with real sockets. Run: python -m unittest discover -s tests"""

from __future__ import annotations

import struct
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from infergate_spark.client import Client, ScoringError, pause_of, seconds_of
from infergate_spark.dialects import V1, V2
from infergate_spark.logs import split_records
from infergate_spark.summary import RowCounts, counts_of


class Server:
    """Answers each request with the next of the script."""

    def __init__(self, script: list[tuple[int, dict[str, str], bytes]]) -> None:
        asked: list[bytes] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked.append(self.rfile.read(int(self.headers["content-length"])))
                status, headers, body = script[min(len(asked), len(script)) - 1]
                if status == 0:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.asked = asked
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Retries(unittest.TestCase):
    def serve(self, *script: tuple[int, dict[str, str], bytes]) -> Server:
        server = Server(list(script))
        self.addCleanup(server.close)
        return server

    def client(self, server: Server, deadline: float) -> Client:
        client = Client(server.url, deadline, {})
        self.addCleanup(client.close)
        return client

    def test_asks_again_after_what_the_gateway_says(self) -> None:
        server = self.serve((503, {"retry-after": "0"}, b""), (429, {"retry-after": "0"}, b""), (200, {}, b"yes"))
        answer = self.client(server, 10).post("/", b"rows", {})
        self.assertEqual((answer.body, answer.retries, server.asked), (b"yes", 2, [b"rows"] * 3))

    def test_asks_again_when_the_connection_breaks(self) -> None:
        server = self.serve((0, {}, b""), (200, {}, b"yes"))
        self.assertEqual(self.client(server, 10).post("/", b"", {}).retries, 1)

    def test_gives_up_where_the_pause_is_longer_than_the_time_left(self) -> None:
        server = self.serve((503, {"retry-after": "60"}, b"busy"))
        with self.assertRaisesRegex(ScoringError, "within 5 s.*503: busy"):
            self.client(server, 5).post("/", b"", {})
        self.assertEqual(len(server.asked), 1)

    def test_a_refusal_is_not_asked_again(self) -> None:
        server = self.serve((400, {}, b'{"error": "shape"}'))
        with self.assertRaisesRegex(ScoringError, "400.*shape"):
            self.client(server, 10).post("/", b"", {})
        self.assertEqual(len(server.asked), 1)

    def test_pauses(self) -> None:
        self.assertTrue(2 <= pause_of("2", 0) <= 2.5)
        self.assertTrue(all(0.1 <= pause_of(None, retries) <= 10 for retries in range(40)))
        self.assertEqual(seconds_of("Thu, 01 Jan 1970 00:00:00 GMT"), 0)
        self.assertIsNone(seconds_of("soon"))


class Dialects(unittest.TestCase):
    ROWS = np.array([[1, 2], [3, 4]], dtype="float64")

    def test_v2_sends_and_reads_binary_tensors(self) -> None:
        dialect = V2("m/1", "2", "x", "FP32", "b")
        request = dialect.request(self.ROWS)
        self.assertEqual(request.path, "/v2/models/m%2F1/versions/2/infer")
        end = int(request.headers["inference-header-content-length"])
        self.assertEqual(np.frombuffer(request.body[end:], "<f4").tolist(), [1, 2, 3, 4])
        head = (
            b'{"outputs":[{"name":"a","datatype":"INT32","shape":[2],"parameters":{"binary_data_size":8}},'
            b'{"name":"b","datatype":"FP64","shape":[2,1],"parameters":{"binary_data_size":16}}]}'
        )
        body = head + struct.pack("<2i2d", 1, 2, 0.1, 0.2)
        headers = {"inference-header-content-length": str(len(head))}
        self.assertEqual(dialect.predictions(headers, body), [[0.1], [0.2]])

    def test_v2_reads_json_where_the_server_has_no_binary_form(self) -> None:
        body = b'{"outputs":[{"name":"y","datatype":"FP32","shape":[2,1],"data":[1,2]}]}'
        self.assertEqual(V2("m", None, "x", "FP32", None).predictions({}, body), [[1], [2]])

    def test_v1(self) -> None:
        self.assertEqual(V1("m", None, None).request(self.ROWS).body, b'{"instances": [[1.0, 2.0], [3.0, 4.0]]}')
        self.assertEqual(V1("m", None, "y").predictions({}, b'{"predictions":[{"y":1},{"y":2}]}'), [1, 2])


class Counts(unittest.TestCase):
    def test_of_the_gateways_field(self) -> None:
        for status, wanted in [
            ('infergate; fwd=partial; stored; detail="rows hit=5 join=1 miss=2 dup=3"', RowCounts(5, 1, 2, 3)),
            ("infergate; hit; ttl=5; detail=memory", RowCounts(hit=7)),
            ("infergate; fwd=miss; fwd-status=200; collapsed", RowCounts(join=7)),
            ("infergate; fwd=miss; fwd-status=200; stored", RowCounts(miss=7)),
            (None, RowCounts(miss=7)),
        ]:
            with self.subTest(status):
                self.assertEqual(counts_of(status, 7), wanted)


class Records(unittest.TestCase):
    def test_of_a_file(self) -> None:
        content = b"".join(struct.pack("<Q4x", len(each)) + each + b"\0" * 4 for each in (b"one", b""))
        self.assertEqual(list(split_records(content)), [b"one", b""])
        with self.assertRaisesRegex(ValueError, "cut off"):
            list(split_records(content[:-1]))


if __name__ == "__main__":
    unittest.main()

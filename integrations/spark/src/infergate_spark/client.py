"""One connection of a task to the gateway: a POST that is sent again where the gateway says so."""

from __future__ import annotations

import http.client
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

RETRIED = frozenset({429, 502, 503, 504})
"""Statuses that say nothing of the rows: predictions may be asked twice."""

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
SHOWN_CHARACTERS = 300


class ScoringError(RuntimeError):
    """The gateway refused the rows, or did not answer within the deadline."""


@dataclass(frozen=True)
class Answer:
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    retries: int


class Client:
    """Keeps one connection. `deadline`: seconds that one request may take with all of its retries."""

    def __init__(self, url: str, deadline: float, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"{url} is no URL of a gateway: write http://HOST:PORT")
        self._base = parts.path.rstrip("/")
        self._headers = dict(headers)
        self._deadline = deadline
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connect: Callable[[float], http.client.HTTPConnection] = lambda timeout: kind(
            parts.netloc, timeout=timeout
        )
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises ScoringError for an answer that another attempt would not change, or when time is up."""
        until = time.monotonic() + self._deadline
        retries = 0
        while True:
            status, fields, answer = self._attempt(path, body, headers, until)
            if status == 200:
                return Answer(fields, answer, retries)
            text = answer[:SHOWN_CHARACTERS].decode(errors="replace")
            if status not in RETRIED and status != 0:
                raise ScoringError(f"{path} answered {status}: {text}")
            pause = pause_of(fields.get("retry-after"), retries)
            if time.monotonic() + pause >= until:
                raise ScoringError(f"{path} had no answer within {self._deadline:g} s; the last was {status}: {text}")
            time.sleep(pause)
            retries += 1

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _attempt(
        self, path: str, body: bytes, headers: Mapping[str, str], until: float
    ) -> tuple[int, dict[str, str], bytes]:
        """Status 0: there is no answer."""
        try:
            left = max(0.001, until - time.monotonic())
            if self._connection is None:
                self._connection = self._connect(left)
            elif self._connection.sock is not None:
                self._connection.sock.settimeout(left)
            self._connection.request("POST", self._base + path, body, {**self._headers, **headers})
            response = self._connection.getresponse()
            answer = response.read()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, answer
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return 0, {}, str(error).encode()


def pause_of(retry_after: str | None, retries: int) -> float:
    """Seconds: what the gateway asks for, or growing ones; with jitter, so that tasks do not come back in step."""
    asked = seconds_of(retry_after) if retry_after else None
    if asked is not None:
        return asked * random.uniform(1.0, 1.25)
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**retries) * random.uniform(0.5, 1.0)


def seconds_of(retry_after: str) -> float | None:
    """Retry-After is seconds or a date (RFC 9110, section 10.2.3)."""
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=timezone.utc)
    return max(0.0, (at - datetime.now(timezone.utc)).total_seconds())

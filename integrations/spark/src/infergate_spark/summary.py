"""How the rows of a run were answered, told by the gateway's Cache-Status (RFC 9211)."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from pyspark import SparkContext
from pyspark.accumulators import Accumulator

ROWS = re.compile(r"rows hit=(\d+) join=(\d+) miss=(\d+) dup=(\d+)")


@dataclass(frozen=True)
class RowCounts:
    """Counts of rows; the last is of requests that were sent again."""

    hit: int = 0
    join: int = 0
    miss: int = 0
    dup: int = 0
    retries: int = 0


def counts_of(cache_status: str | None, rows: int) -> RowCounts:
    """The counts of one answer to `rows` rows. Without a gateway's field every row is a miss."""
    status = cache_status or ""
    found = ROWS.search(status)
    if found:
        hit, join, miss, dup = map(int, found.groups())
        return RowCounts(hit, join, miss, dup)
    if re.search(r";\s*hit\b", status):
        return RowCounts(hit=rows)
    if re.search(r";\s*collapsed\b", status):
        return RowCounts(join=rows)
    return RowCounts(miss=rows)


class Summary:
    """
    Sums over all tasks, to be read on the driver after an action. A task that Spark runs twice counts twice.

    Needs a SparkContext, which Spark Connect has not.
    """

    def __init__(self, context: SparkContext) -> None:
        self._sums: dict[str, Accumulator[int]] = {
            field.name: context.accumulator(0) for field in fields(RowCounts)
        }

    def add(self, counts: RowCounts) -> None:
        for name, accumulator in self._sums.items():
            accumulator.add(getattr(counts, name))

    @property
    def counts(self) -> RowCounts:
        return RowCounts(**{name: int(accumulator.value) for name, accumulator in self._sums.items()})

    @property
    def rows(self) -> int:
        counts = self.counts
        return counts.hit + counts.join + counts.miss + counts.dup

    @property
    def saved(self) -> int:
        """Rows that no backend had to compute."""
        return self.rows - self.counts.miss

    def __str__(self) -> str:
        return f"{self.rows} rows, {self.saved} saved: {self.counts}"

"""Batch scoring from Spark through infergate, and reading its prediction logs."""

from .client import ScoringError
from .logs import LOG_SCHEMA, read_log
from .scoring import score
from .summary import Summary

__all__ = ["LOG_SCHEMA", "ScoringError", "Summary", "read_log", "score"]

"""Cases of a client over gRPC: what it raises is told by its status, and its messages by their fields."""

import grpc
from cases import BASE, attempt, say
from google.protobuf.json_format import MessageToDict

TARGET = BASE.split("//")[1]


def message(answer) -> object:
    return MessageToDict(answer, preserving_proto_field_name=True)


def raised(error: Exception) -> dict:
    """Status and details of an error of grpcio, or of a client that wraps one."""
    if isinstance(error, grpc.RpcError):
        status, details = str(error.code()), error.details()
    else:
        status, details = str(getattr(error, "status", lambda: type(error).__name__)()), str(error)
    return {"status": status, "details": details.replace(TARGET, "HOST")}


def call(case: str, work, cached: int = 0) -> None:
    """`cached` as `attempt` has it."""
    try:
        answer = work()
    except Exception as error:  # noqa: BLE001, an error is an answer
        say(case, raised(error), cached)
    else:
        say(case, answer, cached)


__all__ = ["BASE", "TARGET", "attempt", "call", "message", "raised", "say"]

"""A tiny gRPC server that answers ModelInfer, counting, with an error on demand."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

METHOD = "/inference.GRPCInferenceService/ModelInfer"


@dataclass
class GrpcServer:
    """``refuse_every`` n: each nth request is answered with an error."""

    refuse_every: int = 0
    requests: int = 0
    last: Any = None
    port: int = 0
    server: Any = field(default=None)

    def service(self, details: Any) -> Any:
        if details.method != METHOD:
            return None
        return grpc.unary_unary_rpc_method_handler(
            self._infer, service_pb2.ModelInferRequest.FromString
        )

    def _infer(self, request: Any, context: Any) -> bytes:
        self.requests += 1
        self.last = request
        if self.refuse_every and self.requests % self.refuse_every == 0:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the model ate it")
        return bytes(service_pb2.ModelInferResponse(model_name="tiny").SerializeToString())


@contextmanager
def running_grpc(answering: GrpcServer, **options: int) -> Iterator[GrpcServer]:
    # One thread, so that the counts need no lock.
    told = [(f"grpc.{name}", value) for name, value in options.items()]
    answering.server = grpc.server(ThreadPoolExecutor(1), options=told)
    answering.server.add_generic_rpc_handlers((answering,))
    answering.port = answering.server.add_insecure_port("127.0.0.1:0")
    answering.server.start()
    try:
        yield answering
    finally:
        answering.server.stop(None).wait(10)

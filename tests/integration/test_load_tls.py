"""The load client and a server behind TLS: over both protocols, with certificates of both sides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from support.in_thread import Ports
from support.served import served
from support.tls_proxy import Certificate, certificate, in_front_of

from analyzer.errors import AnalyzerError
from analyzer.launcher import Endpoint
from analyzer.load.driver import run
from analyzer.load.workload import Item, Workload
from analyzer.record.row import LoadSpec
from analyzer.tls import Tls
from engine import examples
from engine.types import DType, InferRequest, Tensor


@dataclass(frozen=True)
class World:
    """A server, and TLS in front of both its protocols that wants a certificate."""

    plain: Ports
    own: Certificate
    client: Certificate
    http: int
    grpc: int

    def endpoint(self, protocol: str, tls: Tls) -> Endpoint:
        if protocol == "http":
            return Endpoint(f"127.0.0.1:{self.http}", tls=tls)
        return Endpoint("", grpc=f"127.0.0.1:{self.grpc}", tls=tls)

    def tls(self, **changes: object) -> Tls:
        files = {
            "ca_file": str(self.own.file),
            "cert_file": str(self.client.file),
            "key_file": str(self.client.key),
        }
        return Tls(**{**files, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    repository, folder = (tmp_path_factory.mktemp(name) for name in ("repository", "keys"))
    examples.build("identity", repository)
    own, client = certificate(folder, "server"), certificate(folder, "client")
    with (
        served(repository) as plain,
        in_front_of(plain.http.port, own, client) as http,
        in_front_of(plain.grpc.port, own, client) as grpc,
    ):
        yield World(plain, own, client, http, grpc)


def load(world: World, protocol: str, tls: Tls) -> tuple[int, int]:
    tensor = Tensor("INPUT0", DType.FP32, np.ones((64, 16), np.float32))
    item = Item(model="identity", requests=(InferRequest(inputs=(tensor,), binary_default=True),))
    spec = LoadSpec(protocol=protocol, rule="count", request_count=60, concurrency=3)
    driven = run(world.endpoint(protocol, tls), Workload((item,)), spec)
    return driven.requests, driven.failed


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_requests_are_answered_in_secret(world: World, protocol: str) -> None:
    assert load(world, protocol, world.tls()) == (60, 0)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_server_that_is_not_to_be_trusted_gets_no_request(world: World, protocol: str) -> None:
    other = str(world.client.file)
    with pytest.raises(AnalyzerError, match=r"cannot connect to .*CERTIFICATE_VERIFY_FAILED"):
        load(world, protocol, world.tls(ca_file=other))


def test_whom_one_need_not_trust_is_served(world: World) -> None:
    assert load(world, "http", world.tls(ca_file="", verify_peer=False)) == (60, 0)


def test_a_file_that_is_no_certificate_is_named(world: World) -> None:
    with pytest.raises(AnalyzerError, match=r"TLS: cannot use .*server\.key"):
        load(world, "http", world.tls(ca_file=str(world.own.key)))

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from engine.errors import InvalidArgument, Unavailable
from engine.options import ServeOptions
from engine.transports.ports import refused, reserved

HERE = "127.0.0.1"


def options(http_port: int, address: str = HERE) -> ServeOptions:
    return ServeOptions(
        model_repository=(),
        http_address=address,
        http_port=http_port,
        allow_grpc=False,
        allow_metrics=False,
    )


@pytest.fixture
def busy() -> Iterator[int]:
    with socket.create_server((HERE, 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free() -> int:
    with socket.create_server((HERE, 0)) as server:
        return int(server.getsockname()[1])


def test_a_port_in_use_is_named_with_the_flag_that_changes_it(busy: int) -> None:
    with (
        pytest.raises(Unavailable, match=f"^port {busy} is in use; stop .* pass --http-port$"),
        reserved(options(busy)),
    ):
        pytest.fail("it was not free")


def test_an_address_of_another_machine_is_told_also_if_the_port_is_any() -> None:
    with (
        pytest.raises(InvalidArgument, match=r"--http-address 192.0.2.1: not an address of this"),
        reserved(options(0, "192.0.2.1")),
    ):
        pytest.fail("it is nobody's address")


def test_a_held_port_refuses_connections_and_can_still_be_served(free: int) -> None:
    with reserved(options(free)):
        with socket.socket() as client:
            assert client.connect_ex((HERE, free)) == errno.ECONNREFUSED
        with socket.create_server((HERE, free)):
            socket.create_connection((HERE, free)).close()


def test_a_port_is_let_go_afterwards(free: int) -> None:
    with reserved(options(free)):
        pass
    socket.create_server((HERE, free)).close()


def test_port_0_is_left_to_the_system() -> None:
    with reserved(options(0)):
        pass


def test_an_address_that_is_not_ours_is_named() -> None:
    with (
        pytest.raises(InvalidArgument, match=r"--http-address 192\.0\.2\.1: not an address of"),
        reserved(options(18080, "192.0.2.1")),
    ):
        pytest.fail("it was ours")


def test_a_name_that_is_no_address_is_named() -> None:
    with (
        pytest.raises(InvalidArgument, match=r"--http-address no\.such\.invalid: no such address"),
        reserved(options(18080, "no.such.invalid")),
    ):
        pytest.fail("it was one")


def test_other_refusals_say_what_to_do() -> None:
    denied = refused("grpc", "0.0.0.0", 80, OSError(errno.EACCES, "denied"))
    assert denied.message == "port 80 is reserved to the system; pass a --grpc-port above 1023"
    odd = refused("grpc", "0.0.0.0", 80, OSError(errno.ENOBUFS, "no room"))
    assert odd.message == "port 80 of 0.0.0.0: no room"

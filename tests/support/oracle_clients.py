"""NVIDIA's four clients behind one face, so that a test can be asked of each of them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import np_to_triton_dtype

Arrays = Mapping[str, Any]


@dataclass
class Asked:
    """An inference, in the client's terms."""

    model: str
    inputs: Arrays
    outputs: tuple[str, ...] = ()
    binary: bool = True
    more: dict[str, Any] = field(default_factory=dict)


class Oracle:
    """One of the clients; ``does`` calls a method of it by name and gives its result."""

    def __init__(self, kind: str, http: int, grpc: int) -> None:
        protocol, _, aio = kind.partition(".")
        self.is_http = protocol == "http"
        self.module = getattr(tritonclient, protocol)
        self._make = self.module.aio.InferenceServerClient if aio else (
            self.module.InferenceServerClient
        )  # fmt: skip
        self._aio = bool(aio)
        self._address = f"127.0.0.1:{http if self.is_http else grpc}"

    def does(self, method: str, *args: Any, **more: Any) -> Any:
        return self.together([(method, args, more)])[0]

    def together(self, calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]]) -> list[Any]:
        """Call methods, at once where the client can."""
        if self._aio:
            return asyncio.run(self._together(calls))
        client = self._make(self._address)
        try:
            return [getattr(client, method)(*args, **more) for method, args, more in calls]
        finally:
            client.close()

    async def _together(
        self, calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]]
    ) -> list[Any]:
        client = self._make(self._address)
        try:
            work: list[Awaitable[Any]] = [
                getattr(client, method)(*args, **more) for method, args, more in calls
            ]
            return list(await asyncio.gather(*work))
        finally:
            await client.close()

    def infer(self, asked: Asked) -> Any:
        return self.does("infer", *self._spelled(asked), **self._more(asked))

    def infer_all(self, asked: list[Asked]) -> list[Any]:
        return self.together([("infer", self._spelled(one), self._more(one)) for one in asked])

    def _spelled(self, asked: Asked) -> tuple[str, list[Any]]:
        inputs = []
        for name, array in asked.inputs.items():
            dtype = "BF16" if name.endswith("BF16") else np_to_triton_dtype(array.dtype)
            one = self.module.InferInput(name, list(array.shape), dtype)
            form = {"binary_data": asked.binary} if self.is_http else {}
            one.set_data_from_numpy(array, **form)
            inputs.append(one)
        return asked.model, inputs

    def _more(self, asked: Asked) -> dict[str, Any]:
        if not asked.outputs:
            return asked.more
        make: Callable[..., Any] = self.module.InferRequestedOutput
        form = {"binary_data": asked.binary} if self.is_http else {}
        return {**asked.more, "outputs": [make(name, **form) for name in asked.outputs]}

    def plain(self, method: str, *args: Any) -> Any:
        """Call a method and get its answer as plain JSON values."""
        return self.does(method, *args, **({} if self.is_http else {"as_json": True}))


def same_arrays(one: Any, other: Any) -> bool:
    """Equal in type, shape and every element."""
    return one.shape == other.shape and bool(np.array_equal(one, other))

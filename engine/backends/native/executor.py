"""One instance of a native model in this process.

Owns the calls of a library in their order: model, instance, execute, and back. Instances of one
version share a model object as long as its files and configuration are the same. Does not own
finding the library, or which process this is.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from ctypes import c_void_p
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from engine.backend import Placement, Work
from engine.backends.native.abi import TOLD, CInstanceArgs, CModelArgs
from engine.backends.native.carry import Form
from engine.backends.native.library import Library, use
from engine.calling import Caller


@dataclass(frozen=True, slots=True)
class Order:
    """One instance to be made; it may travel to another process.

    ``path`` is the library, ``directory`` the version's folder, ``config`` and ``settings`` (those
    of ``--backend-config``) are JSON texts.
    """

    path: Path
    directory: Path
    config: str
    form: Form
    placement: Placement
    settings: str = "{}"

    @property
    def version(self) -> int:
        """The model's version."""
        return int(self.directory.name) if self.directory.name.isdecimal() else 1


def complete(order: Order) -> str:
    """Have a library complete a configuration; "" if it leaves it as it is.

    Raises:
        EngineError: what it returned.
    """
    said = [""]

    def told(_: int | None, text: bytes | None) -> None:
        said[0] = (text or b"").decode(errors="replace")

    library = use(order.path)
    try:
        args = _model_args(order)
        library.call("model_complete", ctypes.byref(args), TOLD(told), None)
    finally:
        library.let_go()
    return said[0]


class NativeExecutor:
    """An instance of a model."""

    def __init__(
        self,
        library: Library,
        instance: int | None,
        form: Form,
        caller: Caller,
        undo: ExitStack,
    ) -> None:
        self._library = library
        self._instance = instance
        self._caller = caller
        self._form = form
        #: whether answers may come after ``execute`` has returned
        self.lasting = form.decoupled
        self._undo = undo
        found = library.find("instance_execute")
        assert found is not None
        self._execute = found

    def execute(self, batch: Sequence[Work]) -> None:
        """Have the library answer requests.

        Raises:
            EngineError: what it returned.
        """
        host = self._library.host
        given = host.give(batch, self._form)
        pointers = (c_void_p * len(given))(*(one.address for one in given))
        with host.asking.executing(self._caller):
            returned = self._execute(self._instance, pointers, len(given))
        error = host.errors.take(returned)
        host.back(given, failed=error is not None)
        if error is not None:
            raise error

    def describe(self) -> Mapping[str, str]:
        """Say what runs."""
        return {
            "runtime": "native",
            "library": self._library.path.name,
            "process": "the engine's own",
        }

    def close(self) -> None:
        """Unmake the instance, and what nobody uses any more."""
        self._undo.close()


class CheckedExecutor(NativeExecutor):
    """An instance that knows whether it can answer."""

    def is_ready(self) -> bool:
        """Ask the library; raises what it returns."""
        self._library.call("instance_ready", self._instance)
        return True


def load(order: Order, caller: Caller) -> NativeExecutor:
    """Make an instance.

    Raises:
        EngineError: what the library lacks or returned.
    """
    placement = order.placement
    with ExitStack() as undo:
        library = use(order.path)
        undo.callback(library.let_go)
        library.host.asking.join(caller)
        undo.callback(library.host.asking.leave, caller)
        model = _shared(library, order, undo)
        args = CInstanceArgs(
            size=ctypes.sizeof(CInstanceArgs),
            kind=int(placement.device is not None),
            device=placement.device or 0,
            threads=placement.threads,
            name=placement.instance.encode(),
        )
        instance = c_void_p()
        library.call("instance_create", model, ctypes.byref(args), ctypes.byref(instance))
        if (destroy := library.find("instance_destroy")) is not None:
            undo.callback(destroy, instance.value)
        checks = library.find("instance_ready") is not None
        kind = CheckedExecutor if checks else NativeExecutor
        return kind(library, instance.value, order.form, caller, undo.pop_all())


def _model_args(order: Order) -> CModelArgs:
    directory = order.directory
    return CModelArgs(
        size=ctypes.sizeof(CModelArgs),
        name=order.form.model.encode(),
        version=order.version,
        config=order.config.encode(),
        model_directory=str(directory.parent).encode(),
        version_directory=str(directory).encode(),
        settings=order.settings.encode(),
    )


class _Model:
    """A library's model object, and how many instances share it."""

    def __init__(self, pointer: int | None) -> None:
        self.pointer = pointer
        self.users = 0


_LOCK = Lock()
_models: dict[object, _Model] = {}


def _shared(library: Library, order: Order, undo: ExitStack) -> int | None:
    """Give the model object of a version as it is now, made if there is none."""
    files = sorted((one.name, one.stat().st_mtime_ns) for one in order.directory.iterdir())
    key = (library, str(order.directory), tuple(files), order.config, order.settings)
    with _LOCK:
        model = _models.get(key)
        if model is None:
            pointer, args = c_void_p(), _model_args(order)
            library.call("model_create", ctypes.byref(args), ctypes.byref(pointer))
            model = _models[key] = _Model(pointer.value)
        model.users += 1
    undo.callback(_release, library, key, model)
    return model.pointer


def _release(library: Library, key: object, model: _Model) -> None:
    with _LOCK:
        model.users -= 1
        if model.users:
            return
        del _models[key]
        if (destroy := library.find("model_destroy")) is not None:
            destroy(model.pointer)

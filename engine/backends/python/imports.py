"""A model's own modules: ``model.py``, and what it imports from its folders.

Several Python models live in one process, each instance with modules of its own: two models may
both have a ``helper.py``, and what one instance writes into a module no other sees. Owns how names
are found. Rules:

1. ``model.py`` and what it imports from its folders bear names under a prefix that no other
   instance has, and are removed from ``sys.modules`` when it closes;
2. the version's folder is searched first, then the model's, as in Triton's ``sys.path``; a module
   of Python itself always comes before, an installed one after them. Where a name is found is
   decided by who imports: only an instance's own modules see its folders;
3. so ``import`` in these modules is this module's: at any time, also within functions. What asks
   by other means (``importlib.import_module``) sees installed modules only;
4. no ``__pycache__`` is written or read: a model repository is its owner's, and a file that was
   changed within a second must not run as it was.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from engine.backends.python import api

_PREFIX = "_triton_python_model_"
_python: Callable[..., ModuleType] = builtins.__import__
_numbers = itertools.count(1)
_instances: dict[str, Modules] = {}


class Modules:
    """The modules of one instance, under ``name``. Made by the thread that loads; used by any."""

    def __init__(self, folders: Sequence[Path]) -> None:
        _install()
        self.name = f"{_PREFIX}{next(_numbers)}"
        self._folders = [str(folder) for folder in folders]
        self._known: dict[str, bool] = {}
        root = ModuleType(self.name)
        root.__path__ = self._folders
        sys.modules[self.name] = root
        _instances[self.name] = self
        self.builtins: Mapping[str, Any] = {**vars(builtins), "__import__": self._import}

    def load(self, file: Path) -> ModuleType:
        """Run a file as the module ``model``; raises whatever it raises."""
        name = f"{self.name}.{file.stem}"
        spec = ModuleSpec(name, _Loader(name, str(file), self), origin=str(file))
        spec.has_location = True
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        assert spec.loader is not None
        spec.loader.exec_module(module)
        return module

    def forget(self) -> None:
        """Remove them; what still refers to one keeps it alive."""
        _instances.pop(self.name, None)
        for name in [one for one in list(sys.modules) if one.split(".", 1)[0] == self.name]:
            del sys.modules[name]

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 - Python's
        locals: Mapping[str, Any] | None = None,  # noqa: A002 - Python's
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        head = name.split(".", 1)[0]
        if level or not self._is_mine(head):
            return _python(name, globals, locals, fromlist or (), level)
        full = f"{self.name}.{name}"
        if fromlist:
            return _python(full, globals, locals, fromlist, 0)
        importlib.import_module(full)
        return sys.modules[f"{self.name}.{head}"]

    def _is_mine(self, head: str) -> bool:
        known = self._known.get(head)
        if known is None:
            known = (
                head not in sys.stdlib_module_names
                and head != api.NAME
                and PathFinder.find_spec(head, self._folders) is not None
            )
            self._known[head] = known
        return known


class _Loader(SourceFileLoader):
    """Runs a file with its instance's own ``import``."""

    def __init__(self, name: str, path: str, modules: Modules) -> None:
        super().__init__(name, path)
        self._modules = modules

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source, always (rule 4)."""
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self._modules.builtins
        super().exec_module(module)


class _Finder(MetaPathFinder):
    """Finds the modules that lie in an instance's folders."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        modules = _instances.get(fullname.split(".", 1)[0])
        if modules is None or path is None:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path, modules)
        return spec


_finder = _Finder()


def _install() -> None:
    """Have models find what they import: their own modules, and Triton's."""
    sys.modules[api.NAME] = api
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)

"""Sum and difference of two vectors, in C++: a native model (``docs/native-backends.md``).

Its library is compiled from ``native_add_sub.cpp``, which is put beside it: to begin with.
"""

from __future__ import annotations

from pathlib import Path

from engine.examples import Example
from engine.examples._compiler import Compiler

CONFIG = """\
# OUTPUT0 = INPUT0 + INPUT1, OUTPUT1 = INPUT0 - INPUT1
name: "native_add_sub"
backend: "native_add_sub"  # libtriton_native_add_sub.so, which lies in the folder 1
max_batch_size: 64

input [
  {
    name: "INPUT0"
    data_type: TYPE_FP32
    dims: [ 16 ]
  },
  {
    name: "INPUT1"
    data_type: TYPE_FP32
    dims: [ 16 ]
  }
]
output [
  {
    name: "OUTPUT0"
    data_type: TYPE_FP32
    dims: [ 16 ]
  },
  {
    name: "OUTPUT1"
    data_type: TYPE_FP32
    dims: [ 16 ]
  }
]

dynamic_batching { }
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
SOURCE = "native_add_sub.cpp"
_COMPILER = Compiler()


def _library() -> bytes:
    return _COMPILER.library(SOURCE)


def _source() -> bytes:
    return (Path(__file__).parent / SOURCE).read_bytes()


EXAMPLE = Example(
    summary="add_sub in C++, compiled here: to write a native model",
    megabytes=0.03,
    config=CONFIG,
    files={"libtriton_native_add_sub.so": _library, SOURCE: _source},
    outside=(_COMPILER,),
)

"""The floor of a small network's step: its matrix products, called one after the other from compiled code."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Any

import numpy as np

from .clock import Turn, optional, seconds
from .jobs import DTYPE, Job

SYMBOLS = (
    ("scipy_cblas_sgemm64_", "i64"),
    ("cblas_sgemm64_", "i64"),
    ("cblas_sgemm$NEWLAPACK$ILP64", "i64"),
    ("cblas_sgemm", "i32"),
)
"""What NumPy's wheels, and others' builds, call the product of float32 matrices; the kind of its counts."""

ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112

CALLS = 2_000
"""Steps timed together."""


def product() -> tuple[int, str] | None:
    """Address of NumPy's own BLAS function, and the kind of its counts; None where it cannot be found."""
    library = ctypes.CDLL(np._core._multiarray_umath.__file__)
    for name, count in SYMBOLS:
        with suppress(AttributeError):
            address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
            return (address, count) if address else None
    return None


def products_turn(job: Job) -> Turn | None:
    """Seconds of the products of one step; None without llvmlite or NumPy's BLAS."""
    binding, found = optional("llvmlite.binding"), product()
    if binding is None or found is None:
        return None
    arrays, calls = step_products(job)
    engine = compiled(binding, source(*found, calls))
    run = ctypes.CFUNCTYPE(None, ctypes.c_int64)(engine.get_function_address("run"))

    def turn(round_: int) -> float:
        run(1)
        return seconds(lambda: run(CALLS)) / CALLS

    turn.keeps = (engine, arrays)  # type: ignore[attr-defined]  # as long as the turn
    return turn


Call = tuple[tuple[Any, bool], tuple[Any, bool], Any]
"""Two matrices, each with whether it is transposed, and their product."""


def step_products(job: Job) -> tuple[list[Any], list[Call]]:
    """The arrays of a step, and its products: forward, then backward but for the gradient by the data."""
    generator = np.random.default_rng(0)

    def array(*shape: int) -> Any:
        return generator.standard_normal(shape, DTYPE) / shape[-1] ** 0.5

    values = [array(job.batch, n) for n in job.sizes]
    gradients = [array(job.batch, n) for n in job.sizes]
    weights = [array(a, b) for a, b in zip(job.sizes, job.sizes[1:], strict=False)]
    weight_gradients = [np.zeros_like(w) for w in weights]
    calls: list[Call] = [((values[k], False), (w, False), values[k + 1]) for k, w in enumerate(weights)]
    for k in reversed(range(len(weights))):
        calls.append(((values[k], True), (gradients[k + 1], False), weight_gradients[k]))
        if k:
            calls.append(((gradients[k + 1], False), (weights[k], True), gradients[k]))
    return [*values, *gradients, *weights, *weight_gradients], calls


def source(address: int, count: str, calls: list[Call]) -> str:
    """LLVM's text of a function ``run(n)`` that makes these products n times."""
    kinds = ["i32"] * 3 + [count] * 3 + ["float", "ptr", count, "ptr", count, "float", "ptr", count]
    lines = []
    for (a, a_turned), (b, b_turned), out in calls:
        rows, columns = out.shape
        inner = a.shape[0] if a_turned else a.shape[1]
        turned = [TRANSPOSED if side else PLAIN for side in (a_turned, b_turned)]
        matrices = [(f"inttoptr (i64 {m.ctypes.data} to ptr)", m.shape[1]) for m in (a, b, out)]
        values = [ROW_MAJOR, *turned, rows, columns, inner, "1.0", *matrices[0], *matrices[1], "0.0", *matrices[2]]
        arguments = ", ".join(f"{kind} {value}" for kind, value in zip(kinds, values, strict=True))
        lines.append(f"  call void %product({arguments})")
    body = "\n".join(lines)
    return f"""
define void @run(i64 %n) {{
entry:
  %product = inttoptr i64 {address} to ptr
  br label %step
step:
  %k = phi i64 [ 0, %entry ], [ %next, %step ]
{body}
  %next = add i64 %k, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %step, label %end
end:
  ret void
}}
"""


def compiled(binding: Any, text: str) -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine()
    engine = binding.create_mcjit_compiler(binding.parse_assembly(text), machine)
    engine.finalize_object()
    return engine

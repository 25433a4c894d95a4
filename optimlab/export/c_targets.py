"""Targets C, CUDA and JavaScript: the parts that their templates print."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..kernels import Graph, c_source, cuda_source, javascript_scalars, javascript_step
from ..kernels.c_source import C_TYPES, function_name
from ..kernels.names import rule_name
from .c_code import MATH_NAMES, c_functions, c_number, c_scalars
from .c_code import WORDS as C_WORDS
from .target import Parts, Target


def _c(graph: Graph, names: Mapping[str, str], dtype: str) -> Parts:
    ctype, arrays = C_TYPES[dtype], [names[name] for name in graph.arrays]
    count = max(1, len(graph.slots))
    places = ", ".join([*(f"{name}[SIZE]" for name in arrays), f"hp[{count}]"])
    include, _, kernel = c_source(graph, dtype).partition("\n\n")
    assert include == "#include <math.h>"
    return {
        "ctype": ctype,
        "functions": c_functions(graph, names),
        "scalar_texts": c_scalars(graph, names),
        "kernel": kernel,
        "tolerance": "1e-10" if dtype == "float64" else "1e-4",
        "allocated": [f"{ctype} {places};"],
        "launched": [f"{function_name(graph)}(SIZE, {', '.join(arrays)}, hp);"],
    }


def _cuda(graph: Graph, names: Mapping[str, str], dtype: str) -> Parts:
    parts = _c(graph, names, dtype)
    ctype, arrays = parts["ctype"], [*(names[name] for name in graph.arrays), "hp"]
    sizes = {**dict.fromkeys(arrays, "SIZE"), "hp": str(max(1, len(graph.slots)))}
    return {
        **parts,
        "kernel": cuda_source(graph, dtype),
        "allocated": [
            f"{ctype} {', '.join(f'*{name}' for name in arrays)};",
            *(f"cudaMallocManaged((void **)&{name}, {size} * sizeof({ctype}));" for name, size in sizes.items()),
        ],
        "launched": [f"{function_name(graph)}<<<1, 32>>>(SIZE, {', '.join(arrays)});", "cudaDeviceSynchronize();"],
    }


def _javascript(graph: Graph, names: Mapping[str, str], dtype: str) -> Parts:
    return {
        "scalar_source": javascript_scalars(graph),
        "scalars_name": f"{rule_name(graph.name)}_scalars",
        "step_name": function_name(graph),
        "kernel": javascript_step(graph),
    }


def javascript_number(value: float) -> str:
    """Print a number as JavaScript source.

    >>> javascript_number(1e-8), javascript_number(-math.inf)
    ('1e-08', '-Infinity')
    """
    return (
        repr(float(value))
        if math.isfinite(value)
        else "NaN"
        if math.isnan(value)
        else f"{value}".replace("inf", "Infinity")
    )


_WORDS = f"{C_WORDS} {' '.join(MATH_NAMES)} i k run weights gradients rates recorded same printf stride"

TARGETS: dict[str, Target] = {
    "c": Target(
        "{} as C functions",
        "a C compiler and its math library",
        "Test: cc -O2 -ffp-contract=off -DTEST {0}.c -o {0} -lm && ./{0}",
        _c,
        _WORDS,
        "c.c.j2",
        c_number,
    ),
    "cuda": Target(
        "{} as a CUDA kernel",
        "NVIDIA's compiler",
        "Test: nvcc --fmad=false -DTEST {0}.cu -o {0} && ./{0}",
        _cuda,
        _WORDS,
        "cuda.cu.j2",
        c_number,
    ),
    "javascript": Target(
        "{} as JavaScript functions",
        "a browser, or Node.js,",
        "Test: node {0}.js",
        _javascript,
        "",
        "javascript.js.j2",
        javascript_number,
    ),
}

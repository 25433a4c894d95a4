"""Operations of a recorded step other than sweeps, in LLVM's language: products, row access, random numbers.

:data:`REPLAY` is the loop that repeats a list of kernels. Every kernel is ``i64 @kernel(ptr %args)``, where ``args`` is
an array of 64-bit words. It returns 0; any other number ends the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from .llvm_source import TYPES


def words(*named: str) -> str:
    """Print the loads of the words of ``args``, each written as a type and a name.

    >>> print(words("i64 %n", "ptr %out"))
      %a0 = getelementptr i64, ptr %args, i64 0
      %n = load i64, ptr %a0
      %a1 = getelementptr i64, ptr %args, i64 1
      %out = load ptr, ptr %a1
    """
    lines = []
    for k, (kind, name) in enumerate(word.split() for word in named):
        lines += [f"  %a{k} = getelementptr i64, ptr %args, i64 {k}", f"  {name} = load {kind}, ptr %a{k}"]
    return "\n".join(lines)


def call_source(kinds: Iterable[str], call: Callable[[list[str]], str]) -> str:
    """Print a kernel that calls a library function with the kernel's words, which have these types."""
    named = [f"{kind} %x{k}" for k, kind in enumerate(kinds)]
    return f"define i64 @kernel(ptr %args) {{\n{words(*named)}\n  {call(named)}\n  ret i64 0\n}}\n"


REPLAY = (
    """
; args: functions, their arguments, number of functions, number of turns; returns the number of completed turns
define i64 @kernel(ptr %args) {
entry:
"""
    + words("ptr %functions", "ptr %arguments", "i64 %count", "i64 %times")
    + """
  br label %turn
turn:
  %t = phi i64 [0, %entry], [%t1, %next]
  %more = icmp slt i64 %t, %times
  br i1 %more, label %list, label %end
list:
  %k = phi i64 [0, %turn], [%k1, %done]
  %left = icmp slt i64 %k, %count
  br i1 %left, label %do, label %next
do:
  %pf = getelementptr ptr, ptr %functions, i64 %k
  %f = load ptr, ptr %pf
  %pa = getelementptr ptr, ptr %arguments, i64 %k
  %a = load ptr, ptr %pa
  %answer = call i64 %f(ptr %a)
  %good = icmp eq i64 %answer, 0
  br i1 %good, label %done, label %end
done:
  %k1 = add i64 %k, 1
  br label %list
next:
  %t1 = add i64 %t, 1
  br label %turn
end:
  ret i64 %t
}
"""
)


@cache
def product_source(dtype: str, wide: bool) -> str:
    """Print a call of ``cblas_sgemm`` or ``cblas_dgemm``.

    ``args`` has its address, order, both transpositions, m, n, k, a, lda, b, ldb, c, ldc.
    """
    integer, number = "i64" if wide else "i32", TYPES[dtype]
    kinds = ["ptr", "i32", "i32", "i32", *[integer] * 3, "ptr", integer, "ptr", integer, "ptr", integer]

    def call(names: list[str]) -> str:
        given = [*names[1:7], f"{number} 1.0", *names[7:11], f"{number} 0.0", *names[11:]]
        return f"call void %x0({', '.join(given)})"

    return call_source(kinds, call)


@cache
def onednn_source() -> str:
    """Print a call of ``dnnl_sgemm``; ``args`` has its address, both letters, m, n, k, a, lda, b, ldb, c, ldc."""

    def call(names: list[str]) -> str:
        letters = [f"i8 signext {name.split()[1]}" for name in names[1:3]]
        given = [*letters, *names[3:6], "float 1.0", *names[6:10], "float 0.0", *names[10:]]
        return f"%s = call i32 %x0({', '.join(given)})"

    return call_source(["ptr", "i8", "i8", *["i64"] * 3, "ptr", "i64", "ptr", "i64", "ptr", "i64"], call)


@cache
def take_source(size: int) -> str:
    """Print a loop that copies rows of ``size`` bytes; ``args`` has their number, the source, the indices, the target.

    For a size that LLVM knows, a copy is a few instructions instead of a call.
    """
    return f"""
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
define i64 @kernel(ptr %args) {{
entry:
{words("i64 %n", "ptr %source", "ptr %which", "ptr %target")}
  %last = sub i64 %n, 1
  br label %head
head:
  %i = phi i64 [0, %entry], [%i1, %copied]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %row, label %end
row:
  %pw = getelementptr i64, ptr %which, i64 %i
  %w = load i64, ptr %pw
  %from = mul i64 %w, {size}
  %ps = getelementptr i8, ptr %source, i64 %from
  %to = mul i64 %i, {size}
  %pt = getelementptr i8, ptr %target, i64 %to
  ; prefetch a later row: memory takes long to answer
  %ahead = add i64 %i, 4
  %within = icmp slt i64 %ahead, %last
  %next = select i1 %within, i64 %ahead, i64 %last
  %pn = getelementptr i64, ptr %which, i64 %next
  %wn = load i64, ptr %pn
  %fromn = mul i64 %wn, {size}
  %psn = getelementptr i8, ptr %source, i64 %fromn
  br label %ask
ask:
  %b = phi i64 [0, %row], [%b1, %asked]
  %some = icmp slt i64 %b, {size}
  br i1 %some, label %asked, label %copied
asked:
  %line = getelementptr i8, ptr %psn, i64 %b
  call void @llvm.prefetch.p0(ptr %line, i32 0, i32 3, i32 1)
  %b1 = add i64 %b, 64
  br label %ask
copied:
  call void @llvm.memcpy.p0.p0.i64(ptr %pt, ptr %ps, i64 {size}, i1 false)
  %i1 = add i64 %i, 1
  br label %head
end:
  ret i64 0
}}
"""


PUT = (
    """
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
; args: table, index of the row, source, bytes of a row
define i64 @kernel(ptr %args) {
"""
    + words("ptr %table", "ptr %index", "ptr %source", "i64 %bytes")
    + """
  %i = load i64, ptr %index
  %to = mul i64 %i, %bytes
  %target = getelementptr i8, ptr %table, i64 %to
  call void @llvm.memcpy.p0.p0.i64(ptr %target, ptr %source, i64 %bytes, i1 false)
  ret i64 0
}
"""
)

COUNT = (
    """
define i64 @kernel(ptr %args) {
"""
    + words("ptr %counter")
    + """
  %old = load i64, ptr %counter
  %new = add i64 %old, 1
  store i64 %new, ptr %counter
  ret i64 0
}
"""
)


@cache
def finite_source(dtype: str) -> str:
    """Print a kernel that returns 0 if a number is finite, otherwise 1."""
    number = TYPES[dtype]
    return f"""
define i64 @kernel(ptr %args) {{
{words("ptr %place")}
  %x = load {number}, ptr %place
  %zero = fsub {number} %x, %x
  %bad = fcmp uno {number} %zero, %zero
  %answer = zext i1 %bad to i64
  ret i64 %answer
}}
"""


_BITS = {
    "float32": ("i32", "lshr i32 %bits, 8", "uitofp i32 %high to float", "fmul float %whole, 0x3E70000000000000"),
    "float64": ("i64", "lshr i64 %bits, 11", "uitofp i64 %high to double", "fmul double %whole, 0x3CA0000000000000"),
}


@cache
def uniform_source(dtype: str) -> str:
    """Print a loop that draws NumPy's uniform numbers on [0, 1) from one of its bit generators.

    ``args`` has the count, the function that returns 32 (float32) or 64 random bits, the location of the address of its
    state, and the target.
    """
    integer, shifted, whole, scaled = _BITS[dtype]
    return f"""
define i64 @kernel(ptr %args) {{
entry:
{words("i64 %n", "ptr %function", "ptr %where", "ptr %out")}
  %state = load ptr, ptr %where
  br label %head
head:
  %i = phi i64 [0, %entry], [%i1, %body]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %end
body:
  %bits = call {integer} %function(ptr %state)
  %high = {shifted}
  %whole = {whole}
  %number = {scaled}
  %place = getelementptr {TYPES[dtype]}, ptr %out, i64 %i
  store {TYPES[dtype]} %number, ptr %place
  %i1 = add i64 %i, 1
  br label %head
end:
  ret i64 0
}}
"""

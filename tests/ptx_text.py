"""NVIDIA's assembly (PTX) as text: types, instructions, functions and programs."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

import numpy as np

TYPES = {f"{kind}{8 * size}": f"{code}{size}" for kind, code in zip("bus", "uui", strict=True) for size in (1, 2, 4, 8)}
TYPES |= {"f32": "f4", "f64": "f8", "pred": "?"}
"""NumPy's names of the types of PTX."""

DTYPES = {name: np.dtype(code) for name, code in TYPES.items()}
BITS = {name: np.dtype(code.replace("i", "u").replace("f", "u")) for name, code in TYPES.items()}


class Instruction(NamedTuple):
    guard: str  # "%p1", "!%p1" or ""
    name: str
    modifiers: tuple[str, ...]
    operands: tuple[str, ...]

    @property
    def type(self) -> str:
        return next((m for m in reversed(self.modifiers) if m in TYPES), "")


class Function(NamedTuple):
    """A kernel, or a function that a kernel calls."""

    parameters: tuple[tuple[str, str], ...]  # (name, type)
    results: tuple[tuple[str, str], ...]
    registers: dict[str, str]  # the type of each, and of a range such as "%f<9>" by its prefix
    variables: dict[str, tuple[str, int, int, Any]]
    code: tuple[Instruction, ...]
    labels: dict[str, int]


class Program(NamedTuple):
    functions: dict[str, Function]
    variables: dict[str, tuple[str, int, int, Any]]  # name: (space, bytes, alignment, values or None)


HEADER = re.compile(r"\.(?:entry|func)\s*(?:\(([^)]*)\))?\s*([\w$]+)\s*\(([^)]*)\)[^{;]*([{;])")
PARAMETER = re.compile(r"\.param\s+(?:\.align\s+\d+\s+)?\.(\w+)\s[^,]*?([\w$]+)(?:\[\d+\])?\s*(?:,|$)")
VARIABLE = re.compile(
    r"\.(shared|global|const|local)\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+([\w$]+)((?:\[\d*\])*)(?:\s*=\s*(.*))?", re.S
)
STATEMENT = re.compile(r"(?:@(!?%\w+)\s+)?([a-z]\w*)((?:[.:]\w+)*)\s*(.*)", re.S)


@cache
def program(ptx: str) -> Program:
    text = re.sub(r"//[^\n]*|\.(?:version|target|address_size|loc|file|pragma)\b[^\n]*", "", ptx)
    functions, outside, at = {}, "", 0
    while found := HEADER.search(text, at):
        outside, at = outside + text[at : found.start()], found.end()
        if found[4] == "{":
            end, depth = at, 1
            while depth:
                depth += {"{": 1, "}": -1}.get(text[end], 0)
                end += 1
            functions[found[2]] = _function(found[1] or "", found[3], text[at : end - 1])
            at = end
    variables: dict[str, Any] = {}
    for statement in (outside + text[at:]).split(";"):
        _declare(statement, variables)
    return Program(functions, variables)


def _declare(statement: str, variables: dict[str, Any]) -> None:
    if found := VARIABLE.search(statement):
        space, alignment, kind, name, counts, values = found.groups()
        size = DTYPES[kind].itemsize
        count = int(np.prod([int(n or 0) for n in re.findall(r"\[(\d*)\]", counts)]))
        if values:
            values = np.array([constant(v.strip(), kind) for v in values.strip(" {}\n").split(",")])
        variables[name] = space, size * count, int(alignment or size), values


def _function(results: str, parameters: str, body: str) -> Function:
    registers, variables, code, labels = {}, {}, [], {}
    body = re.sub(r"\{([^{};]*)\}", r"<\1>", body)  # the braces of operands; the others are blocks
    hidden: list[dict[str, str]] = [{}]  # for each block that is open, new names of the registers it declares
    for statement in (part.strip() for part in re.split(r"([{}])|;|(?<=:)\n", body) if part):
        if hidden[-1]:
            statement = re.sub(r"%\w+", lambda found: hidden[-1].get(found[0], found[0]), statement)
        if statement == "{":
            hidden.append(dict(hidden[-1]))
        elif statement == "}":
            hidden.pop()
        elif statement.endswith(":"):
            labels[statement[:-1]] = len(code)
        elif statement.startswith(".reg"):
            _, kind, names = statement.split(None, 2)
            for name in (part.strip().split("<")[0] for part in names.split(",")):
                if len(hidden) > 1:
                    hidden[-1][name] = f"{name}_{len(registers)}_"
                registers[hidden[-1].get(name, name)] = kind[1:]
        elif statement.startswith("."):
            _declare(statement, variables)
        elif statement:
            guard, name, modifiers, operands = STATEMENT.fullmatch(statement).groups()
            operands = re.findall(r"(?:<[^>]*>|\([^)]*\)|\[[^]]*\]|[^,\s])+", operands)
            code.append(Instruction(guard or "", name, tuple(re.split("[.:]+", modifiers)[1:]), tuple(operands)))
    pairs = [tuple((name, kind) for kind, name in PARAMETER.findall(given)) for given in (parameters, results)]
    return Function(*pairs, registers, variables, tuple(code), labels)


def constant(text: str, kind: str) -> Any:
    """Return the bits of a number."""
    if text[:2].lower() in ("0f", "0d"):
        return np.array(int(text[2:], 16), BITS[kind])
    return np.array(int(text.rstrip("U"), 0) & (256 ** BITS[kind].itemsize - 1), BITS[kind])

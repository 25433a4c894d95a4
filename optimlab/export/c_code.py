"""C code for expressions and functions of scalars, in double precision."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from ..common.errors import RuleError
from ..kernels import Graph
from ..kernels.host_functions import called_functions
from ..rules._host import decaying_beta_product
from .host_code import function_tree, parameters
from .statements import renamed

WORDS = (
    "auto bool break case char class const continue default delete do double else enum extern false float for friend "
    "goto if inline int long namespace new operator private protected public register restrict return short signed "
    "sizeof static struct switch template this throw true try typedef typename union unsigned using virtual void "
    "volatile while hp main floor_divide modulo INFINITY NAN"
)
"""Reserved words of C and C++, and names of the printed code."""

_MATH_H = (
    "acos acosh asin asinh atan atan2 atanh canonicalize cbrt ceil compoundn copysign cos cosh cospi drem erf erfc exp "
    "exp10 exp2 expm1 fabs fdim finite floor fma fmax fmaximum fmin fminimum fmod frexp fromfp gamma getpayload hypot "
    "ilogb isinf isnan j0 j1 jn ldexp lgamma llogb llrint llround log log10 log1p log2 logb lrint lround modf nan "
    "nearbyint nextafter nextdown nexttoward nextup pow pow10 pown powr remainder remquo rint rootn round roundeven "
    "rsqrt scalb scalbln scalbn setpayload significand sin sincos sinh sinpi sqrt tan tanh tanpi tgamma totalorder "
    "trunc ufromfp y0 y1 yn"
)
_MACROS_OF_MATH_H = (
    "fpclassify isfinite isgreater isgreaterequal isless islessequal islessgreater isnormal issubnormal issignaling "
    "isunordered iszero signbit signgam"
)
MATH_NAMES = (*(f"{name}{end}" for name in _MATH_H.split() for end in ("", "f", "l")), *_MACROS_OF_MATH_H.split())
"""The names that <math.h> declares, of the C standards, POSIX and common C libraries."""

_PRODUCT = """\
/* mu_1 mu_2 ... mu_t with mu_k = beta1 (1 - 0.96^(k momentum_decay) / 2) */
static double {name}(double t, double beta1, double momentum_decay)
{{
    double product = 1.0;
    for (double k = 1; k <= t && product != 0; ++k)
        product *= beta1 * (1 - 0.5 * pow(0.96, k * momentum_decay));
    return product;
}}"""

_HELPERS = {
    "floor_divide": """\
/* Python's a // b: floor(a / b) is 10 for 1 / 0.1, although 0.1 is more than a tenth */
static double floor_divide(double a, double b)
{
    const double rest = fmod(a, b);
    const double quotient = (a - rest) / b - (rest != 0 && (rest < 0) != (b < 0) ? 1.0 : 0.0);
    return quotient - floor(quotient) > 0.5 ? floor(quotient) + 1.0 : floor(quotient);
}""",
    "modulo": """\
/* Python's a % b: the remainder has the sign of b */
static double modulo(double a, double b)
{
    const double rest = fmod(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}""",
}

_OPERATORS: dict[type[ast.AST], tuple[str, int]] = {
    ast.Add: ("+", 1),
    ast.Sub: ("-", 1),
    ast.Mult: ("*", 2),
    ast.Div: ("/", 2),
    ast.Lt: ("<", 0),
    ast.LtE: ("<=", 0),
    ast.Gt: (">", 0),
    ast.GtE: (">=", 0),
    ast.Eq: ("==", 0),
    ast.NotEq: ("!=", 0),
}
_CALLS = {"abs": "fabs", "minimum": "fmin", "maximum": "fmax"}


def c_functions(graph: Graph, names: Mapping[str, str]) -> list[str]:
    """Print the functions that the scalars of a rule call.

    Raises
    ------
    RuleError: a function cannot be written in C, or its source is not available.

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.modern import radam
    >>> print(*c_functions(trace(radam), {})[0].splitlines()[1:4], sep="\\n")
    {
        const double rho_inf = 2.0 / (1.0 - beta2) - 1.0;
        const double rho = rho_inf - 2.0 * t * pow(beta2, t) / (1.0 - pow(beta2, t));
    """
    labels = {function: names.get(label, label) for function, label in called_functions(graph).items()}
    texts = []
    for function, label in labels.items():
        if function is inspect.unwrap(decaying_beta_product):
            texts.append(_PRODUCT.format(name=label))
            continue
        tree = function_tree(function, labels, "c", [*WORDS.split(), *MATH_NAMES])
        arguments = ", ".join(f"double {argument.arg}" for argument in parameters(tree)) or "void"
        lines = []
        for statement in tree.body:
            match statement:
                case ast.Assign([ast.Name(name)], value):
                    lines.append(f"    const double {name} = {c_expression(with_defaults(value, labels))};\n")
                case ast.Return(ast.expr() as value):
                    lines.append(f"    return {c_expression(with_defaults(value, labels))};\n")
        texts.append(f"static double {label}({arguments})\n{{\n{''.join(lines)}}}")
    printed = "".join([*texts, *c_scalars(graph, names)])
    return [*(text for name, text in _HELPERS.items() if f"{name}(" in printed), *texts]


def c_scalars(graph: Graph, names: Mapping[str, str]) -> list[str]:
    """Print the host scalars of a rule."""
    labels = {function: names.get(label, label) for function, label in called_functions(graph).items()}
    slots = [renamed(ast.parse(slot, mode="eval").body, names) for slot in graph.slots]
    return [c_expression(with_defaults(slot, labels)) for slot in slots]


def with_defaults(expression: ast.expr, labels: Mapping[Callable[..., Any], str]) -> ast.expr:
    """Add default arguments to the calls in an expression: C has no default values."""
    defaults = {label: inspect.signature(function).parameters.values() for function, label in labels.items()}
    for node in ast.walk(expression):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in defaults:
            missing = list(defaults[node.func.id])[len(node.args) :]
            node.args += [ast.Constant(parameter.default) for parameter in missing]
    return expression


def c_number(value: float) -> str:
    """Print a number as C source.

    >>> c_number(2), c_number(1e-8), c_number(-math.inf)
    ('2.0', '1e-08', '-INFINITY')
    """
    if math.isfinite(value):
        return repr(float(value))
    return "NAN" if math.isnan(value) else "INFINITY" if value > 0 else "-INFINITY"


def c_expression(expression: ast.expr) -> str:
    """Print an expression of Python's numbers in C.

    >>> c_expression(ast.parse("lr * (1 - beta2**t) ** 0.5 / (1 + t // 2) * (t > 1)", mode="eval").body)
    'lr * pow(1.0 - pow(beta2, t), 0.5) / (1.0 + floor_divide(t, 2.0)) * (double)(t > 1.0)'
    """
    return _printed(expression)[0]


def _printed(e: ast.expr) -> tuple[str, int]:
    """Return the text of an expression, and its precedence."""

    def text(part: ast.expr, least: int = 0) -> str:
        printed, binds = _printed(part)
        return printed if binds >= least else f"({printed})"

    match e:
        case ast.Name(name):
            return name, 4
        case ast.Constant(bool() | int() | float() as value):
            return (c_number(value), 4) if value >= 0 else (f"({c_number(value)})", 4)
        case ast.BinOp(left, ast.Pow(), right):
            return f"pow({text(left)}, {text(right)})", 4
        case ast.BinOp(left, ast.FloorDiv(), right):
            return f"floor_divide({text(left)}, {text(right)})", 4
        case ast.BinOp(left, ast.Mod(), right):
            return f"modulo({text(left)}, {text(right)})", 4
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            symbol, binds = _OPERATORS[type(operator)]
            return f"{text(left, binds)} {symbol} {text(right, binds + 1)}", binds
        case ast.UnaryOp(ast.USub(), operand):
            return f"-{text(operand, 4)}", 3
        case ast.Compare(left, [operator], [right]) if type(operator) in _OPERATORS:
            return f"(double)({text(left, 1)} {_OPERATORS[type(operator)][0]} {text(right, 1)})", 3
        case ast.Call(ast.Attribute(value, "__abs__"), []):
            return f"fabs({text(value)})", 4
        case ast.Call(ast.Attribute(ast.Name("c"), "where"), [test, yes, no]):
            return f"{text(test, 1)} ? {text(yes, 1)} : {text(no)}", 0
        case ast.Call(ast.Attribute(ast.Name("c"), name), arguments):
            return f"{_CALLS.get(name, name)}({', '.join(map(text, arguments))})", 4
        case ast.Call(ast.Name("float"), [argument]):
            return text(argument, 4), 4
        case ast.Call(ast.Name(name), arguments, []):
            return f"{name}({', '.join(map(text, arguments))})", 4
    raise RuleError(
        f"{ast.unparse(e)} cannot be written in C; accepted: + - * / // % **, comparisons, abs, min, max, exp, log"
    )

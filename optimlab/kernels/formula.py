"""Print a graph as formulas from the rule's code: in Unicode for a terminal, in LaTeX or MathML for a page."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection
from typing import NamedTuple

from ..common.errors import exact
from ..rules import KINDS
from .graph import Graph, Node
from .names import distinct, greek

LONGEST = 100
"""The most operations in one line of a formula; longer formulas, such as unrolled loops, are split into parts."""


class Equation(NamedTuple):
    """An assignment of ``value`` to ``name``.

    The names of a rule's arrays carry their time: ``m@old`` is from the step before, ``m@new`` from this step, and
    ``g@mid`` is an input that the rule changes in between. Names without a time are scalars, or a function's arrays.
    ``lr@changed`` is the argument ``lr`` after the rule or function has changed it. Operations on arrays are written
    like NumPy's, ``np.sqrt(...)``, including SciPy's ``np.erf(...)``.
    """

    name: str
    value: ast.expr
    node: Node | None
    """None for a scalar."""
    plain: frozenset[str] = frozenset()
    """Names to print as written, because two would look the same, such as ``beta1`` and ``beta_1``. If ``e`` is among
    them, exponentials are printed as ``exp(...)``."""

    def printed(self, style: Callable[[ast.expr, Collection[str]], str]) -> tuple[str, str]:
        """Print both sides with :func:`unicode`, :func:`latex` or :func:`mathml`."""
        return style(ast.Name(self.name), self.plain), style(self.value, self.plain)


def equations(graph: Graph) -> list[Equation]:
    """Return the equations of a rule or function, one for each named variable and one for each new array.

    >>> from optimlab.nn.activations import swish
    >>> from optimlab.kernels import trace, trace_function
    >>> from optimlab.rules.textbook import momentum
    >>> [f"{e.name} = {ast.unparse(e.value)}" for e in equations(trace(momentum))]
    ['m@new = beta * m@old - lr * g@new', 'w@new = w@old + m@new']

    >>> [" = ".join(e.printed(unicode)) for e in equations(trace_function(swish))]
    ['out = x σ(x)']
    """
    names = _names(graph)
    scalars = {text: _scalar_name(graph, name) for text, name in graph.scalar_names.items()}
    made = [Equation(name, ast.parse(text, mode="eval").body, None) for text, name in scalars.items()]
    made += [Equation(names[n], _expression(graph, n, names, top=True), n) for n in graph.nodes if n in names]
    made += [
        Equation(_timed(graph, name, "new"), _expression(graph, node, names), node)
        for name, node in zip(graph.written, graph.outputs, strict=True)
        if names.get(node) != _timed(graph, name, "new") and not (node.op == "input" and node.value == name)
    ]
    plain = _alike(made)
    return [e._replace(plain=plain) for e in made] if plain else made


def _alike(made: list[Equation]) -> frozenset[str]:
    """Return the names that would look like another name of the same formula, or like the base of an exponential."""
    parts = [part for e in made for part in (ast.Name(e.name), *ast.walk(e.value))]
    names = {part.id for part in parts if isinstance(part, ast.Name)}
    exponential = any(isinstance(part, ast.Attribute) and part.attr in ("exp", "expm1") for part in parts)
    found: set[str] = {"e"} if exponential and "e" in names else set()
    for printed in (_unicode_name, _latex_name):
        texts = {name: printed(name) for name in names}
        count = Counter(texts.values())
        found.update(name.partition("@")[0] for name, text in texts.items() if count[text] > 1)
    return frozenset(name for name in names if name.partition("@")[0] in found)


def _names(graph: Graph) -> dict[Node, str]:
    """Return the name of each named node.

    A state's new value has the state's name, regardless of the local variable that held it last.
    """
    names = {n: _local(graph, name) for n, name in graph.names.items()}
    for name, node in reversed(list(zip(graph.written, graph.outputs, strict=True))):
        names[node] = _timed(graph, name, "new")
    names = {n: name for n, name in names.items() if not n.is_leaf}
    sizes: dict[Node, int] = {}
    for node in graph.nodes:
        if node not in names and (size := 1 + sum(sizes.get(a, 1) for a in node.args)) > LONGEST:
            used = {name.partition("@")[0] for name in names.values()} | {*graph.inputs, *graph.hyperparameters}
            names[node] = _timed(graph, distinct("part", used), "new")
        sizes[node] = 1 if node in names else size
    return names


def _timed(graph: Graph, name: str, time: str) -> str:
    """Return the name of an array: with its time in a rule, without one in a function, which has no steps."""
    return f"{name}@{time}" if graph.is_rule else name


def _local(graph: Graph, name: str) -> str:
    """Return the name of a local variable."""
    if graph.is_rule:
        return f"{name}@{'mid' if name in graph.inputs else 'new'}"
    return f"{name}@changed" if name in {*graph.arrays, *graph.hyperparameters} else name


def _scalar_name(graph: Graph, name: str) -> str:
    return f"{name}@changed" if name in graph.hyperparameters or name == "t" else name


def mentions(graph: Graph, node: Node, scalar: str) -> bool:
    """Return True if ``node`` depends on a scalar other than through old arrays.

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.textbook import adam
    >>> graph = trace(adam)
    >>> [n.op for n in graph.nodes if mentions(graph, n, "eps")]
    ['add', 'sqrt', 'divide', 'subtract']
    """
    slots = {
        k
        for k, slot in enumerate(graph.slots)
        if any(isinstance(part, ast.Name) and part.id == scalar for part in ast.walk(ast.parse(slot)))
    }
    seen: set[Node] = set()
    ahead = [node]
    while ahead:  # visit each node once: otherwise the work doubles with every value that is used twice
        here = ahead.pop()
        if here.op == "slot" and here.value in slots:
            return True
        if here not in seen:
            seen.add(here)
            ahead += here.args
    return False


def text_of(graph: Graph, node: Node) -> str:
    """Print one node as Unicode, down to the variables that the rule names."""
    return unicode(_expression(graph, node, _names(graph), top=True), equations(graph)[0].plain)


_BINARY = {"add": ast.Add, "subtract": ast.Sub, "multiply": ast.Mult, "divide": ast.Div}
_COMPARE = {
    "greater": ast.Gt,
    "greater_equal": ast.GtE,
    "less": ast.Lt,
    "less_equal": ast.LtE,
    "equal": ast.Eq,
    "not_equal": ast.NotEq,
}


def _expression(graph: Graph, node: Node, names: dict[Node, str], top: bool = False) -> ast.expr:
    """Return a node as a Python expression; ``top`` writes it out even if it has a name."""
    if node in names and not top:
        return ast.Name(names[node])
    if node.op == "input":
        return ast.Name(_timed(graph, node.value, "new" if node.value == "g" else "old"))
    if node.op == "slot":
        return scalar_expression(graph, node.value)
    base, exponent = _power(node, names, top=True)
    if exponent > 1:
        return ast.BinOp(_expression(graph, base, names), ast.Pow(), ast.Constant(exponent))
    args = [_expression(graph, a, names) for a in node.args]
    if node.op in _BINARY:
        return ast.BinOp(args[0], _BINARY[node.op](), args[1])
    if node.op in _COMPARE:
        return ast.Compare(args[0], [_COMPARE[node.op]()], [args[1]])
    if node.op == "negative":
        return ast.UnaryOp(ast.USub(), args[0])
    if node.op == "power":
        return ast.BinOp(args[0], ast.Pow(), args[1])
    return ast.Call(ast.Attribute(ast.Name("np"), node.op), args, [])


def _power(node: Node, names: dict[Node, str], top: bool = False) -> tuple[Node, int]:
    """Return the base and exponent of squares and products of one value, such as ``x * x**2``."""
    if node not in names or top:
        if node.op == "square":
            base, exponent = _power(node.args[0], names)
            return base, 2 * exponent
        if node.op == "multiply":
            (a, k), (b, m) = (_power(arg, names) for arg in node.args)
            if a is b and k + m > 2:  # a product of two letters stays as in the rule
                return a, k + m
    return node, 1


def scalar_expression(graph: Graph, slot: int) -> ast.expr:
    """Return a host scalar as an expression, with the rule's names for its parts.

    >>> from optimlab.kernels import trace
    >>> from optimlab.rules.textbook import sgd
    >>> ast.unparse(scalar_expression(trace(sgd), 0))
    'lr'
    """
    return _scalar(ast.parse(graph.slots[slot], mode="eval").body, graph)


def _scalar(e: ast.expr, graph: Graph) -> ast.expr:
    """Return an expression of scalars, with the rule's names for its parts."""

    class Rename(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            name = graph.scalar_names.get(ast.unparse(node)) if isinstance(node, ast.expr) else None
            return ast.Name(_scalar_name(graph, name)) if name else self.generic_visit(node)

    renamed = Rename().visit(e)
    assert isinstance(renamed, ast.expr)
    return renamed


# --- printing: one walk over the expression, three styles


class _Style(NamedTuple):
    name: Callable[[str, bool], str]
    """Print a variable; with True, print it as written, without Greek letters."""
    power: Callable[[str, str], str]
    quotient: Callable[[str, str], str]
    times: str
    """The sign between two factors; a space is enough between letters."""
    parentheses: tuple[str, str]
    number: Callable[[str], str]
    functions: dict[str, str]
    """The texts of operations and functions, by NumPy's names; also ``sigmoid``."""
    compare: dict[type[ast.cmpop], str]
    quotient_binds: int
    """The precedence of a printed quotient: a LaTeX fraction needs parentheses only as the base of a power."""


_MOD, _SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(1, 7)


def unicode(expression: ast.expr, plain: Collection[str] = ()) -> str:
    """Print an expression of :func:`equations` for a terminal.

    >>> unicode(ast.parse("(1 - beta1) / (1 - beta1**t)", mode="eval").body)
    '(1 − β₁) / (1 − β₁ᵗ)'
    """
    return _print(expression, _UNICODE, plain)[0]


def latex(expression: ast.expr, plain: Collection[str] = ()) -> str:
    r"""Print an expression of :func:`equations` in LaTeX.

    >>> latex(ast.parse("lr * m_hat / np.sqrt(s_hat + eps)", mode="eval").body)
    '\\frac{\\eta \\, \\hat{m}}{\\sqrt{\\hat{s} + \\varepsilon}}'
    """
    return _print(expression, _LATEX, plain)[0]


def mathml(expression: ast.expr, plain: Collection[str] = ()) -> str:
    """Print an expression of :func:`equations` in MathML, which browsers render natively.

    Each variable carries its name as ``data-name``, so that a page can replace it by its value.

    >>> print(mathml(ast.parse("lr * s_hat ** 2", mode="eval").body).replace("><", "> <"))
    <mi data-name="lr">η</mi> <mo>&InvisibleTimes;</mo> <msup> <mrow> <mover data-name="s_hat"> <mi>s</mi>
    <mo>^</mo> </mover> </mrow> <mrow> <mn>2</mn> </mrow> </msup>
    """
    return _print(expression, _MATHML, plain)[0]


def _print(e: ast.expr, style: _Style, plain: Collection[str]) -> tuple[str, int]:
    """Return the text of an expression and its precedence."""

    minus = style.functions["-"].strip(" ")
    two_dimensional = style.quotient_binds == _POWER

    def whole(part: ast.expr) -> str:
        return _print(part, style, plain)[0]

    def inside(part: ast.expr, least: int) -> str:
        text, binds = _print(part, style, plain)
        return text if binds >= least else f"{style.parentheses[0]}{text}{style.parentheses[1]}"

    def after_sign(part: ast.expr, least: int) -> str:
        """Print what follows a sign: in parentheses if it begins with a sign of its own."""
        text, binds = _print(part, style, plain)
        bare = binds >= least and not text.startswith(minus)
        return text if bare else f"{style.parentheses[0]}{text}{style.parentheses[1]}"

    def called(operation: str, *args: ast.expr) -> tuple[str, int]:
        return style.functions[operation].format(*map(whole, args)), _ATOM

    match e:
        case ast.Name(name):
            return style.name(name, name in plain), _ATOM
        case ast.Constant(float() as value) if two_dimensional and "e" in exact(value):
            mantissa, _, exponent = exact(value).partition("e")
            power = ast.BinOp(ast.Constant(10), ast.Pow(), ast.Constant(int(exponent)))
            factors = ast.BinOp(ast.Constant(float(mantissa)), ast.Mult(), power)
            return _print(power if mantissa == "1" else factors, style, plain)
        case ast.Constant(value):
            return style.number(exact(value) if isinstance(value, float) else str(value)), _ATOM
        case ast.BinOp(left, ast.Add(), right):
            return f"{inside(left, _SUM)}{style.functions['+']}{after_sign(right, _SUM)}", _SUM
        case ast.BinOp(left, ast.Sub(), right):
            return f"{inside(left, _SUM)}{style.functions['-']}{after_sign(right, _PRODUCT)}", _SUM
        case ast.BinOp(left, ast.Mult(), right):
            both = inside(left, _PRODUCT), inside(right, _POWER)
            digits = both[1].removeprefix("<mn>")[:1].isdigit()
            return (style.functions["*"] if digits else style.times).join(both), _PRODUCT
        case ast.BinOp(
            ast.Constant(1),
            ast.Div(),
            ast.BinOp(
                ast.Constant(1), ast.Add(), ast.Call(ast.Attribute(attr="exp"), [ast.UnaryOp(ast.USub(), argument)])
            ),
        ):
            return called("sigmoid", argument)
        case ast.BinOp(left, ast.Div(), right):
            if two_dimensional:
                return style.quotient(whole(left), whole(right)), _POWER
            return style.quotient(inside(left, _PRODUCT), inside(right, _POWER)), _PRODUCT
        case ast.BinOp(left, ast.FloorDiv(), right):
            return called("floor", ast.BinOp(left, ast.Div(), right))
        case ast.BinOp(left, ast.Mod(), right):
            return f"{inside(left, _POWER)}{style.functions['%']}{inside(right, _POWER)}", _MOD
        case ast.BinOp(left, ast.Pow(), ast.Constant(0.5)):
            return _print(ast.Call(ast.Attribute(ast.Name("np"), "sqrt"), [left], []), style, plain)
        case ast.BinOp(left, ast.Pow(), right):
            return style.power(inside(left, _ATOM), whole(right)), _POWER
        case ast.UnaryOp(ast.USub(), operand):
            return f"{minus}{after_sign(operand, _PRODUCT)}", _SIGN
        case ast.Compare(left, [operator], [right]):
            return f"{inside(left, _MOD)}{style.compare[type(operator)]}{inside(right, _MOD)}", 0
        case ast.Call(ast.Attribute(value, "__abs__")):
            return called("absolute", value)
        case ast.Call(ast.Attribute(_, "exp"), [argument]) if "e" not in plain:
            return style.power(style.functions["e"], whole(argument)), _POWER
        case ast.Call(ast.Attribute(name, "expm1"), [argument]):
            exp = ast.Call(ast.Attribute(name, "exp"), [argument], [])
            return _print(ast.BinOp(exp, ast.Sub(), ast.Constant(1)), style, plain)
        case ast.Call(ast.Attribute(_, "log1p"), [argument]):
            return called("log", ast.BinOp(ast.Constant(1), ast.Add(), argument))
        case ast.Call(ast.Attribute(_, "sqrt"), [argument]) if "√" in style.functions:
            return f"√{inside(argument, _ATOM)}", _POWER
        case ast.Call(ast.Attribute(_, "where"), args) if two_dimensional:  # the brace of the cases has no end
            return called("where", *args)[0], _MOD
        case ast.Call(ast.Attribute(_, operation), args) if operation in style.functions:
            return called(operation, *args)
        case ast.Call(ast.Attribute(attr=name) | ast.Name(name), args):  # the name as written, without Greek letters
            arguments = style.functions[","].join(map(whole, args))
            return f"{style.name(name, True)}{style.parentheses[0]}{arguments}{style.parentheses[1]}", _ATOM
    raise TypeError(f"cannot print {ast.unparse(e)}")


_GREEK = {
    "alpha": "α",
    "delta": "δ",
    "mu": "μ",
    **{name: kind.symbol for name, kind in KINDS.items() if name[-1].isalpha()},
}
_TEX = {"ε": r"\varepsilon", "≥": r"\ge", "≤": r"\le", "≠": r"\ne"}
_CALLED = {"log": "ln", "sigmoid": "σ"} | {name: name for name in ("sign", "exp", "tanh", "erf", "sin", "cos")}
"""The functions that are printed with a name and parentheses."""
_TEX_CALLED = {"sign": r"\operatorname{{sign}}", "erf": r"\operatorname{{erf}}", "sigmoid": r"\sigma"}
_SIGNS = {ast.Gt: ">", ast.GtE: "≥", ast.Lt: "<", ast.LtE: "≤", ast.Eq: "=", ast.NotEq: "≠"}
_SUBSCRIPT = str.maketrans("0123456789t+-", "₀₁₂₃₄₅₆₇₈₉ₜ₊₋")
_SUPERSCRIPT = {**{str(d): c for d, c in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}, "t": "ᵗ", "+": "⁺", " ": ""}
_TIMES = {"old": "t-1", "new": "t", "mid": "t", "changed": "", "": ""}


class _Parts(NamedTuple):
    letter: str
    hat: bool
    prime: bool
    below: str
    time: str


def _parts(name: str, plain: bool) -> _Parts:
    """Split a name: ``s_hat@new`` is the letter s with a hat at time t; ``beta1`` the letter beta with index 1."""
    base, _, when = name.partition("@")
    prime, time = when in ("mid", "changed"), _TIMES[when]
    if plain:
        return _Parts(base, False, prime, "", time)
    hat = base.endswith("_hat") and base != "_hat"
    base = base.removesuffix("_hat") if hat else base
    letter, index = _GREEK.get(base, base), ""
    match = re.fullmatch(r"([a-z]+?)_?(\d+|max|next)", base, re.ASCII)
    if match and (match[1] in _GREEK or len(match[1]) == 1):
        letter, index = _GREEK.get(match[1], match[1]), match[2]
    return _Parts(letter, hat, prime, index, time)


def _unicode_name(name: str, plain: bool = False) -> str:
    p = _parts(name, plain)
    mark = f"_{p.below}" if p.below.isalpha() else p.below.translate(_SUBSCRIPT)
    time = ("," if mark and p.time else "") + p.time.translate(_SUBSCRIPT)
    return unicodedata.normalize("NFC", p.letter + "\u0302" * p.hat) + "′" * p.prime + mark + time


def _latex_name(name: str, plain: bool = False) -> str:
    p = _parts(name, plain)
    text = _latex_letter(p.letter) if len(p.letter) == 1 and not plain else rf"\mathrm{{{p.letter}}}"
    text = text.replace("_", r"\_")
    text = (rf"\hat{{{text}}}" if p.hat else text) + "'" * p.prime
    index = rf"\mathrm{{{p.below}}}" if p.below.isalpha() else p.below
    below = ",".join(part for part in (index, p.time) if part)
    text = f"{text}_{{{below}}}" if below else text
    return f"{{{text}}}" if p.prime else text  # braces, because a power would add a second superscript


def _latex_letter(letter: str) -> str:
    if letter.isascii():
        return letter
    name = greek(letter)
    known = name.islower() and name != "omicron"  # LaTeX has no commands for capitals that look Latin
    return _TEX.get(letter, rf"\{name}" if known else rf"\mathrm{{{letter}}}")


def _unicode_power(base: str, exponent: str) -> str:
    if all(c in _SUPERSCRIPT for c in exponent):
        return base + "".join(_SUPERSCRIPT[c] for c in exponent)
    return f"{base}^{exponent}" if exponent.isalnum() else f"{base}^({exponent})"


def _mathml_name(name: str, plain: bool = False) -> str:
    p = _parts(name, plain)
    given = f' data-name="{name}"'
    text = f"<mi{{0}}>{p.letter}</mi>"
    if p.hat:
        text = f"<mover{{0}}>{text.format('')}<mo>^</mo></mover>"
    below = f"<mi>{p.below}</mi>" if p.below.isalpha() else f"<mn>{p.below}</mn>" * bool(p.below)
    if p.time:
        below += "<mo>,</mo>" * bool(below) + {"t": "<mi>t</mi>", "t-1": "<mi>t</mi><mo>−</mo><mn>1</mn>"}[p.time]
    if below:
        text = f"<msub{{0}}>{text.format('')}<mrow>{below}</mrow></msub>"
    if p.prime:
        text = f"<msup{{0}}>{text.format('')}<mo>′</mo></msup>"
    return text.format(given)


_UNICODE = _Style(
    name=_unicode_name,
    power=_unicode_power,
    quotient=lambda a, b: f"{a} / {b}",
    times=" ",
    parentheses=("(", ")"),
    number=str,
    functions={
        "+": " + ",
        "-": " − ",
        ",": ", ",
        "*": " · ",
        "%": " mod ",
        "floor": "⌊{0}⌋",
        "√": "√",
        "absolute": "|{0}|",
        "maximum": "max({0}, {1})",
        "minimum": "min({0}, {1})",
        "where": "({1} where {0}, else {2})",
        "e": "e",
        **{op: f"{name}({{0}})" for op, name in _CALLED.items()},
    },
    compare={op: f" {sign} " for op, sign in _SIGNS.items()},
    quotient_binds=_PRODUCT,
)

_LATEX = _Style(
    name=_latex_name,
    power=lambda a, b: f"{a}^{{{b}}}",
    quotient=lambda a, b: rf"\frac{{{a}}}{{{b}}}",
    times=r" \, ",
    parentheses=(r"\left(", r"\right)"),
    number=str,
    functions={
        "+": " + ",
        "-": " - ",
        ",": ", ",
        "*": r" \cdot ",
        "%": r" \bmod ",
        "floor": r"\left\lfloor {0} \right\rfloor",
        "sqrt": r"\sqrt{{{0}}}",
        "absolute": r"\left|{0}\right|",
        "maximum": r"\max\left({0}, {1}\right)",
        "minimum": r"\min\left({0}, {1}\right)",
        "e": "e",
        **{op: _TEX_CALLED.get(op, f"\\{name}") + r"\left({0}\right)" for op, name in _CALLED.items()},
        "where": r"\begin{{cases}} {1} & {0} \\ {2} & \text{{else}} \end{{cases}}",
    },
    compare={op: f" {_TEX.get(sign, sign)} " for op, sign in _SIGNS.items()},
    quotient_binds=_POWER,
)

_MATHML = _Style(
    name=_mathml_name,
    power=lambda a, b: f"<msup><mrow>{a}</mrow><mrow>{b}</mrow></msup>",
    quotient=lambda a, b: f"<mfrac><mrow>{a}</mrow><mrow>{b}</mrow></mfrac>",
    times="<mo>&InvisibleTimes;</mo>",
    parentheses=("<mrow><mo>(</mo>", "<mo>)</mo></mrow>"),
    number=lambda text: f"<mn>{text}</mn>",
    functions={
        "+": "<mo>+</mo>",
        "-": "<mo>−</mo>",
        ",": "<mo>,</mo>",
        "*": "<mo>·</mo>",
        "%": "<mo>mod</mo>",
        "floor": "<mrow><mo>⌊</mo>{0}<mo>⌋</mo></mrow>",
        "sqrt": "<msqrt>{0}</msqrt>",
        "absolute": "<mrow><mo>|</mo>{0}<mo>|</mo></mrow>",
        "maximum": "<mrow><mi>max</mi><mo>(</mo>{0}<mo>,</mo>{1}<mo>)</mo></mrow>",
        "minimum": "<mrow><mi>min</mi><mo>(</mo>{0}<mo>,</mo>{1}<mo>)</mo></mrow>",
        "where": "<mrow><mo>{{</mo><mtable><mtr><mtd>{1}</mtd><mtd>{0}</mtd></mtr>"
        "<mtr><mtd>{2}</mtd><mtd><mtext>else</mtext></mtd></mtr></mtable></mrow>",
        "e": "<mi>e</mi>",
        **{op: f"<mrow><mi>{name}</mi><mo>(</mo>{{0}}<mo>)</mo></mrow>" for op, name in _CALLED.items()},
    },
    compare={op: f"<mo>{'&lt;' * (sign == '<') or '&gt;' * (sign == '>') or sign}</mo>" for op, sign in _SIGNS.items()},
    quotient_binds=_POWER,
)

"""HTML for notebooks: small pieces without style sheets or scripts, with all text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

POINTS = 200
"""The largest number of points in a sparkline; longer sequences are thinned evenly."""


class Html(str):
    """A text that is already HTML, and is not escaped again."""

    __slots__ = ()


def tag(name: str, *content: str, **attributes: str) -> Html:
    """Return an HTML element; text is escaped, :class:`Html` is not.

    >>> str(tag("p", "1 < 2, ", tag("b", "so it is"), title='a "proof"'))
    '<p title="a &quot;proof&quot;">1 &lt; 2, <b>so it is</b></p>'
    """
    inside = "".join(part if isinstance(part, Html) else escape(part) for part in content)
    given = "".join(f' {key.replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{given}>{inside}</{name}>")


def together(*parts: str) -> Html:
    """Return one block of several elements or texts, in this order, without empty ones.

    >>> str(together("a & b", tag("i", "c")))
    '<div><p>a &amp; b</p><i>c</i></div>'
    """
    return tag("div", *(part if isinstance(part, Html) else tag("p", part) for part in parts if part))


def bullets(lines: Sequence[str]) -> Html:
    """Return a list with a bullet for each line; empty without lines."""
    return tag("ul", *(tag("li", line) for line in lines)) if lines else Html()


def sparkline(values: Sequence[float], label: str) -> Html:
    """Return a small drawing of finite values, with ``label`` for screen readers; empty for fewer than two values.

    >>> sparkline([3.0], "loss")
    ''
    >>> "loss" in sparkline([3.0, 1.0, 2.0], "loss")
    True
    """
    if len(values) < 2:
        return Html()
    step = max(1.0, (len(values) - 1) / (POINTS - 1))
    drawn = [values[round(k * step)] for k in range(round((len(values) - 1) / step) + 1)]
    low, span = min(drawn) / 2, max(drawn) / 2 - min(drawn) / 2  # halves, because a difference may overflow
    heights = [(value / 2 - low) / span if span > 0 else 0.0 for value in drawn]
    points = " ".join(f"{100 * k / (len(drawn) - 1):.1f},{22 - 20 * h:.1f}" for k, h in enumerate(heights))
    line = tag("polyline", points=points, fill="none", stroke="currentColor", stroke_width="1.5")
    return tag("svg", line, viewBox="-2 0 104 24", width="104", height="24", role="img", aria_label=label)

"""The pytest plugin: checks of one's own network, layer, loss or rule, as fixtures.

pytest finds it wherever optimlab is installed; ``-p no:optimlab`` leaves it out.
"""

from __future__ import annotations

from typing import Any

import pytest

from .checks import gradient_check, rule_check


@pytest.fixture(scope="session")
def gradcheck() -> Any:
    """The function optimlab.gradcheck: gradcheck(net, x, y), (layer, x), (activation, x), (loss, outputs, targets)."""
    return gradient_check.gradcheck


@pytest.fixture(scope="session")
def assert_rule_matches() -> Any:
    """The function optimlab.assert_rule_matches: assert_rule_matches(rule, reference, dtype="float64", ...)."""
    return rule_check.assert_rule_matches

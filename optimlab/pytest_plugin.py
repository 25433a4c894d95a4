"""The pytest plugin: fixtures that check your own network, layer, loss or rule.

pytest finds it wherever optimlab is installed; ``-p no:optimlab`` leaves it out.
"""

from __future__ import annotations

from typing import Any

import pytest

from .checks import gradient_check, rule_check


@pytest.fixture(scope="session")
def gradcheck() -> Any:
    """Give optimlab.gradcheck, which takes (net, x, y), (layer, x), (activation, x) or (loss, outputs, targets)."""
    return gradient_check.gradcheck


@pytest.fixture(scope="session")
def assert_rule_matches() -> Any:
    """Give optimlab.assert_rule_matches, which takes (rule, reference, dtype="float64", ...)."""
    return rule_check.assert_rule_matches

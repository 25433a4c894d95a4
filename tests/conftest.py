"""Helpers that the tests share: optional dependencies, and comparison bit for bit."""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import compiling
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

pytest_plugins = ["pytester", "quick_and_slow", "report_folder"]

# a shell's background jobs begin with Ctrl-C ignored, and hand that on; what is tested is what happens on a terminal
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Keep what the C++ compiler and JAX compile, by its text, for other workers and for the next session.

    BLAS has one thread, unless a test asks for more: several wait for each other by spinning, on cores that other
    workers need.
    """
    threadpool_limits(1, "blas")
    if config.pluginmanager.has_plugin("cacheprovider"):
        compiling.kept[:] = [config.cache.mkdir("compiled")]
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(config.cache.mkdir("jax")))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


def require(module: str) -> ModuleType:
    """The module; where it is not installed the test module is skipped, except on CI, where that is an error."""
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{module} is not installed", allow_module_level=True)
    if module == "torch":  # its threads wait for each other by spinning, on cores that other workers need
        found.set_num_threads(1)
    return found


@pytest.fixture(scope="session")
def compiler() -> str:
    """Path of a C++ compiler; where there is none the test is skipped, except on CI, where it fails."""
    found = shutil.which("g++") or shutil.which("c++")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no C++ compiler (g++ or c++)")
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium, driven by Playwright: the one on this machine, never a download. Where there is none the
    test is skipped, except on CI, where it fails."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    quiet += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with require("playwright.sync_api").sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=quiet)
        yield started
        started.close()


def listeners(wrong: list[str]) -> dict[str, Any]:
    """Return listeners for a page of Playwright that note what goes wrong, and what is asked of the network."""
    return {
        "console": lambda message: wrong.append(message.text) if message.type != "log" else None,
        "pageerror": lambda error: wrong.append(str(error)),
        "request": lambda request: None if request.url.startswith("file:") else wrong.append(request.url),
    }


@pytest.fixture(scope="session")
def firefox() -> Iterator[Any]:
    """A headless Firefox, driven by Marionette: the one on this machine. Where there is none the test is skipped,
    except on CI, where it fails."""
    found = shutil.which("firefox-esr") or shutil.which("firefox")  # Debian's firefox is a script
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Firefox")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the driver's own: deprecated calls, sockets left to the collector
        marionette = require("marionette_driver.marionette").Marionette(
            bin=str(Path(found).resolve()), headless=True, gecko_log=os.devnull, port=0
        )
        marionette.start_session()
    yield marionette
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        marionette.quit()
        marionette.instance.profile.cleanup()
        del marionette
        gc.collect()


def assert_same_bits(actual: Any, expected: Any, what: str = "") -> None:
    """Same dtype, same shape, and in each place the same bits or a NaN on both sides (which NaN is not defined)."""
    actual, expected = np.ascontiguousarray(actual), np.ascontiguousarray(expected)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape), what
    bits = f"u{actual.dtype.itemsize}"
    same = (actual.view(bits) == expected.view(bits)) | (np.isnan(actual) & np.isnan(expected))
    if not same.all():
        k = tuple(int(i) for i in np.argwhere(~same)[0])
        raise AssertionError(f"{what} differs in {(~same).sum()} places, first at {k}: {actual[k]!r}, {expected[k]!r}")


@pytest.fixture
def nothing_of_the_user(monkeypatch, tmp_path):
    """Data sets are neither found where the user keeps them nor kept there."""
    monkeypatch.delenv("OPTIMLAB_DATA", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")


@pytest.fixture
def without_figures(monkeypatch):
    """The commands save no figures, which takes most of their time; that they do has tests of its own."""
    for command in ("compare", "race", "tune"):
        module = importlib.import_module(f"optimlab.cli.{command}")
        monkeypatch.setattr(module, "save_figure", lambda figure, path: [])

"""A headless Chromium that draws with the CPU alone: for measuring and testing what `nova-gym export` writes."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from nova_gym.errors import BadInputError

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

#: Names of the browser and of the program that drives it, as systems have them.
_BROWSERS, _DRIVERS = ("chromium", "chromium-browser", "google-chrome"), ("chromedriver", "chromium.chromedriver")
_ALWAYS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars")
#: WebGL without a graphics card.
SOFTWARE = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
#: No WebGL at all.
WITHOUT = ("--disable-3d-apis",)


def missing() -> str:
    """What of Selenium, Chromium and its driver is missing here; empty if nothing is."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "Selenium is missing: pip install 'nova-gym[test]'"
    if not _found(_BROWSERS) or not _found(_DRIVERS):
        return "there is no Chromium here: apt-get install chromium chromium-driver"
    return ""


def _found(names: Sequence[str]) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def chromium(width: int = 1280, height: int = 800, options: Sequence[str] = SOFTWARE) -> Iterator[WebDriver]:
    """A browser, closed at the end; it logs the requests that pages make.

    Args:
        width, height: of the window.
        options: of Chromium, `SOFTWARE` or `WITHOUT`.

    Raises:
        BadInputError: there is none.
    """
    if reason := missing():
        raise BadInputError(reason)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    chosen = webdriver.ChromeOptions()
    chosen.binary_location = _found(_BROWSERS)
    for option in (*_ALWAYS, *options, f"--window-size={width},{height}"):
        chosen.add_argument(option)
    chosen.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=chosen, service=Service(_found(_DRIVERS)))
    driver.set_script_timeout(300)  # a busy machine is no fault of the page
    try:
        yield driver
    finally:
        driver.quit()


def numbers(driver: WebDriver, script: str, *arguments: Any) -> np.ndarray:
    """float32 numbers that a script returns as a Float32Array, or as a list of these one after the other."""
    packing = """
        const found = (() => { %s })();
        const parts = Array.isArray(found) ? found : [found];
        const bytes = parts.flatMap((part) => [...new Uint8Array(part.buffer, part.byteOffset, part.byteLength)]);
        let text = '';
        for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.slice(i, i + 4096));
        return btoa(text);"""
    return np.frombuffer(base64.b64decode(driver.execute_script(packing % script, *arguments)), np.float32)


#: JavaScript: a painter like that of the page, on a canvas of its own; `size` is that of both sides.
PAINTER = """
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = arguments[0];
    const painter = new nova.stage.painter.constructor(nova.session.model, canvas);
    const draw = (state) => painter.draw(nova.session.model.seen(state), {y: [0, state.rows], x: [0, state.cols]});
"""

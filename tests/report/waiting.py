"""Waiting for what a page does: its policy forbids what playwright's own waiting evaluates."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page


def until(page: Page, expression: str) -> None:
    """Wait until a JavaScript expression is true of a page."""
    end = time.monotonic() + 30
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(50)

"""The README's pictures, taken from the demo in a real browser: `make screenshots`."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PICTURES = {
    "invoices": "/invoices",
    "partial": "/invoices?invoices_status=Complete&invoices_range=All+dates&invoices_differs=true",
    "record": "/record?entity=invoices&id=100",
    "causes": "/causes",
    "connections": "/connections",
    "overview": "/",  # last, once the server has counted the past days
}
OVERSIGHT = {
    "Auditor": ("audit", "/audit"),
    "Administrator": (
        "accounts",
        "/accounts?accounts_account=Ana+Lytle+%28demo+analyst%29+%28analyst%29",
    ),
}
"""Pages that only somebody else may open."""


@contextmanager
def product() -> Iterator[tuple[str, dict[str, str]]]:
    """A server with a demo of its own; yields its address and the environment of its commands."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tempfile.mkdtemp()
    database = f"sqlite:///{folder}/demo.db"
    environment = {**os.environ, "SYNCHIST_DATABASE_URL": database}
    python = [sys.executable, "-m", "synchist"]
    subprocess.run([*python, "demo"], env=environment, check=True)
    server = subprocess.Popen([*python, "run", "--port", str(port)], env=environment)
    try:
        address = f"http://localhost:{port}"
        for _ in range(300):
            try:
                if httpx.get(f"{address}/readyz").status_code == httpx.codes.OK:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        yield address, environment
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def settle(page: Page) -> None:
    """Wait until the page has drawn everything."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.wait_for_timeout(1500)


def retry(page: Page, address: str, environment: dict[str, str]) -> None:
    """Send records back as an analyst does, and let jobs try them."""
    page.goto(f"{address}/bills?bills_range=All+dates")
    settle(page)
    page.get_by_role("button", name="Select all").click()
    settle(page)
    page.get_by_role("button", name="Send back to Pending").click()
    settle(page)
    page.screenshot(path=HERE / "retry-light.png")
    page.get_by_role("button", name="Apply to").click()
    settle(page)
    page.goto(f"{address}/causes")
    settle(page)
    page.get_by_role("button", name="Fixed it: send all").nth(3).click()
    settle(page)
    page.get_by_role("button", name="Apply to").click()
    settle(page)
    jobs = [sys.executable, "-m", "synchist", "simulate-jobs", "--seconds", "90", "--pause", "0"]
    subprocess.run(jobs, env=environment, check=True)


def main() -> None:
    """Take every picture, light and dark."""
    with product() as (address, environment), sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, BROWSERS)), None)
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        for scheme in ("light", "dark"):  # in this order: what is retried in one shows in both
            context = browser.new_context(
                viewport={"width": 1366, "height": 768}, color_scheme=scheme
            )
            page = context.new_page()

            def take(name: str, path: str, page: Page = page, scheme: str = scheme) -> None:
                page.goto(address + path)
                settle(page)
                page.screenshot(path=HERE / f"{name}-{scheme}.png")

            page.goto(f"{address}/sign-in")
            page.screenshot(path=HERE / f"sign-in-{scheme}.png")
            page.get_by_role("button", name="Continue as Analyst").click()
            for name, path in PICTURES.items():
                take(name, path)
            if scheme == "light":
                retry(page, address, environment)
            take("operations", "/operations")
            for who, (name, path) in OVERSIGHT.items():
                context.clear_cookies()
                page.goto(f"{address}/sign-in")
                page.get_by_role("button", name=f"Continue as {who}").click()
                take(name, path)
            context.close()
        browser.close()


if __name__ == "__main__":
    main()

"""Makes screenshots of the built site, for a look at it.

`make docs`, then `python docs/screenshots.py --out build/screenshots`.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

# Name of the picture, page, colour scheme, and width.
PICTURES = (
    ("first-light", "index.html", "light", 1400),
    ("first-dark", "index.html", "dark", 1400),
    ("first-phone", "index.html", "light", 390),
    ("dts", "dts.html", "light", 1400),
    ("migrating", "migrating.html", "light", 1400),
    ("api", "api/keras_dts.html#keras_dts.Distiller", "light", 1400),
    ("example", "api/keras_dts.html#keras_dts.TeacherCache", "dark", 1400),
    ("api-phone", "api/losses.html", "dark", 390),
    ("methods", "methods.html", "light", 1400),
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *args: object) -> None:
        """Says nothing."""


def main() -> None:
    """Serves the site, and takes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=Path("build/site"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--only", nargs="*", help="names of pictures")
    parser.add_argument(
        "--full", action="store_true", help="whole pages, not their tops"
    )
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    handler = functools.partial(Quiet, directory=str(given.site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=given.chromium,
                args=["--no-sandbox", "--disable-gpu"],
            )
            for name, address, scheme, width in PICTURES:
                if given.only and name not in given.only:
                    continue
                page = browser.new_page(
                    viewport={"width": width, "height": 1000},
                    color_scheme=scheme,
                )
                page.goto(f"http://127.0.0.1:{server.server_port}/{address}")
                page.wait_for_timeout(500)
                page.screenshot(
                    path=given.out / f"{name}.png", full_page=given.full
                )
                page.close()
            browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()

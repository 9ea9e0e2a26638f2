"""The documentation as a site: it is whole, and can be used."""

import functools
import html
import html.parser
import http.server
import importlib
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import types
import urllib.parse

import keras
import pytest

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / "docs"
CHROMIUM = pathlib.Path("/usr/bin/chromium")


# A black picture of one pixel.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+k"
    "cQAAAABJRU5ErkJggg==\n"
)
OUTPUTS = [
    {
        "name": "stdout",
        "output_type": "stream",
        "text": ["1/2\b\b\b2/2\n", "\x1b[1mforty-two\x1b[0m\n"],
    },
    {
        "data": {"image/png": PNG},
        "metadata": {},
        "output_type": "display_data",
    },
    {
        "data": {"text/html": "<b>4</b>\n\n<i>2</i>"},
        "metadata": {},
        "output_type": "display_data",
    },
]


def notebook(outputs):
    text = [
        "# A made-up notebook\n",
        "\n",
        "See [methods](../docs/methods.md).",
    ]
    cells = [
        {
            "cell_type": "markdown",
            "metadata": {},
            "source": text,
        },
        {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {},
            "source": "print(6 * 7)",
            "outputs": outputs,
        },
    ]
    return json.dumps(
        {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    )


def repository(folder):
    """Makes a copy of links to the repository, with one notebook more."""
    ours = ("examples", "build")
    for path in ROOT.iterdir():
        if path.name not in (*ours, ".git"):
            (folder / path.name).symlink_to(path)
    for name in ("examples", "build/notebooks"):
        (folder / name).mkdir(parents=True)
        for path in (ROOT / name).glob("*"):
            (folder / name / path.name).symlink_to(path)
    (folder / "examples/made_up.ipynb").write_text(notebook([]))
    (folder / "build/notebooks/made_up.ipynb").write_text(notebook(OUTPUTS))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    source = tmp_path_factory.mktemp("repository")
    folder = tmp_path_factory.mktemp("site")
    repository(source)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mkdocs", "build", "--strict"),
            f"--site-dir={folder}",
        ],
        capture_output=True,
        cwd=source,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Links(html.parser.HTMLParser):
    """Collects a page's links, what it loads, and what can be linked to."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.anchors = [], [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors |= {attrs.get("id"), attrs.get("name")} - {None}
        if tag == "a" and attrs.get("href"):
            self.links.append(attrs["href"])
        if tag == "link" and "canonical" not in attrs.get("rel", ""):
            self.loads.append(attrs["href"])
        if tag in ("img", "script", "iframe") and attrs.get("src"):
            self.loads.append(attrs["src"])


def test_links_lead_somewhere_and_nothing_comes_from_elsewhere(site):
    pages = {path: Links(path) for path in site.rglob("*.html")}
    assert len(pages) > 15
    for page, found in pages.items():
        for link in found.links + found.loads:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                assert link in found.links, f"{page} loads {link}"
                continue
            # The page of errors has no place of its own.
            base = site if parts.path.startswith("/") else page.parent
            path = urllib.parse.unquote(parts.path).lstrip("/")
            target = (base / path).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{page}: {link}"
            if parts.fragment and target in pages:
                anchors = pages[target].anchors
                assert parts.fragment in anchors, f"{page}: {link}"


def test_docstrings_are_rendered(site):
    page = (site / "api/keras_dts.html").read_text()
    entry = page[page.index('id="keras_dts.Distiller"') :]
    entry = entry[: entry.index('id="keras_dts.compare"')]
    assert "student_loss_weight" in entry
    assert "&gt;&gt;&gt;" in entry
    assert "<blockquote>" not in entry
    assert "Example:" not in entry
    assert 'href="temperatures.html#keras_dts.temperatures.AutoTem' in entry


def test_links_out_of_the_docs_become_paths(site):
    page = (site / "methods.html").read_text()
    assert re.search(r"<code>tests/\S+\.py</code>", page)
    assert "../tests" not in page


def test_notebooks_are_pages(site):
    page = (site / "notebooks/made_up.html").read_text()
    assert '<a href="../methods.html">methods</a>' in page
    assert "2/2\nforty-two" in html.unescape(re.sub("<[^>]*>", "", page))
    assert 'src="made_up_1_1.png"' in page
    assert "<b>4</b>\n<i>2</i>" in page
    assert (site / "notebooks/made_up_1_1.png").read_bytes()[1:4] == b"PNG"
    assert json.loads((site / "notebooks/made_up.ipynb").read_text())
    listed = (site / "notebooks/index.html").read_text()
    assert '<a href="made_up.html">A made-up notebook</a>' in listed


@pytest.fixture
def hooks(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("hooks")


def test_links_follow_the_address_of_the_repository(hooks):
    relink = functools.partial(
        hooks.relink, source="examples/a.ipynb", page="notebooks/a.md"
    )
    config = types.SimpleNamespace(repo_url="https://host/us/it/")
    link = "[a test](../tests/docs/test_site.py)"
    assert relink(link, config=config) == (
        "[a test](https://host/us/it/blob/main/tests/docs/test_site.py)"
    )
    config.repo_url = None
    assert relink(link, config=config) == "a test: `tests/docs/test_site.py`"
    assert relink(f"```\n{link}\n```", config=config) == f"```\n{link}\n```"
    inside = "[methods](../docs/methods.md#losses)"
    assert relink(inside, config=config) == "[methods](../methods.md#losses)"
    other = "[another](b.ipynb), [changes](../CHANGELOG.md), [x](https://x)"
    assert relink(other, config=config) == (
        "[another](b.md), [changes](../changelog.md), [x](https://x)"
    )


def test_the_first_mention_of_a_class_leads_to_its_entry(hooks):
    text = "# `KD`\n`KD(2.0)` and `KD`, `Dense`, [`SkewKL`](x)\n"
    assert hooks.with_entries(text) == (
        "# `KD`\n[`KD(2.0)`][keras_dts.losses.KD] and `KD`, `Dense`, "
        "[`SkewKL`](x)\n"
    )


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def address(site):
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def browser():
    if not CHROMIUM.exists():
        pytest.skip("Chromium is missing; `make test` installs it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()


def test_the_site_can_be_used(address, browser):
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    problems, elsewhere = [], []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda message: (
            message.type in ("error", "warning")
            and problems.append(message.text)
        ),
    )
    page.on(
        "request",
        lambda request: (
            request.url.startswith((address, "data:", "blob:"))
            or elsewhere.append(request.url)
        ),
    )
    page.goto(f"{address}/index.html")
    assert page.locator("h1").inner_text().startswith("keras-dts")
    pictures = page.eval_on_selector_all(
        "article img", "images => images.map(image => image.naturalWidth)"
    )
    assert pictures
    assert all(pictures)

    # The search.
    query = page.locator("[data-md-component=search-query]")
    query.click()
    query.press_sequentially("temperature")
    results = page.locator(".md-search-result__link")
    results.first.wait_for()
    target = results.first.evaluate("link => link.href.split(/[?#]/)[0]")
    results.first.click()
    page.wait_for_url(lambda url: re.split("[?#]", url)[0] == target)
    assert "temperature" in page.locator("article").inner_text().lower()

    # The navigation, every page of it.
    def links():
        found = page.locator(".md-nav--primary a.md-nav__link")
        targets = found.evaluate_all("links => links.map(link => link.href)")
        # The search leaves its words in the address of the page it led to.
        return found, [re.split("[?#]", target)[0] for target in targets]

    targets = sorted(set(links()[1]))
    assert len(targets) > 15
    for target in targets:
        found, now = links()
        found.nth(now.index(target)).click()
        page.wait_for_url(f"{target}*")
        page.wait_for_load_state()
        assert page.locator("article h1").count() == 1, target

    # The dark.
    page.locator("label.md-header__button[for^=__palette]:visible").click()
    page.locator("body[data-md-color-scheme=slate]").wait_for()
    page.locator("label.md-header__button[for^=__palette]:visible").click()
    page.locator("body[data-md-color-scheme=default]").wait_for()

    assert problems == []
    assert elsewhere == []


def test_trajectories_are_drawn(tmp_path):
    subprocess.run(
        [sys.executable, str(DOCS / "trajectories.py"), "--out", tmp_path],
        check=True,
        env={**os.environ, "KERAS_BACKEND": keras.config.backend()},
    )
    drawn = sorted(path.name for path in tmp_path.iterdir())
    assert drawn == ["dts-scales.png", "dts-trajectories.png"]

"""What MkDocs does for this site beside rendering `docs`.

Links that leave `docs` go to the repository, or become the path they lead to
where `repo_url` is not set. Classes lead to their entries in the reference.
Notebooks, the changes and how to contribute are pages, made from the
repository's own files.
"""

from __future__ import annotations

import json
import os
import re
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from docstrings import entries, outside_fences
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
DOCS = PurePosixPath("docs")
EXAMPLES = PurePosixPath("examples")
# Where `make notebooks` writes the notebooks with what their cells printed.
EXECUTED = PurePosixPath("build/notebooks")

# Files of the repository that are pages, and where.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}

# A class of this package in code, if not in a link.
_NAME = re.compile(
    r"(?<![\[`])`(?:keras_dts\.(?:\w+\.)?)?([A-Z]\w+)(?:\(.*?\))?`(?![`\]])"
)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
# A character that is gone back over.
_BACK = re.compile("(?:^|[^\x08])\x08")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds each notebook to the navigation."""
    index = "notebooks/index.md"
    # Without titles: these are the notebooks' own.
    pages = [index, *(f"notebooks/{path.stem}.md" for path in notebooks())]
    config.nav = [
        {"Notebooks": pages} if entry == {"Notebooks": index} else entry
        for entry in config.nav or []
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made from the repository's files."""
    for name, page in PAGES.items():
        if page != "index.md":
            text = relink((ROOT / name).read_text(), name, page, config)
            text = with_entries(text)
            files.append(File.generated(config, page, content=text))
    listed = []
    for path in notebooks():
        page = f"notebooks/{path.stem}.md"
        text, images = rendered(path)
        text = relink(text, f"{EXAMPLES}/{path.name}", page, config)
        files.append(File.generated(config, page, content=text))
        files.append(
            File.generated(
                config, f"notebooks/{path.name}", abs_src_path=str(path)
            )
        )
        for image, content in images.items():
            files.append(
                File.generated(config, f"notebooks/{image}", content=content)
            )
        listed.append(f"- [{title(text)}]({path.stem}.md)")
    lines = ["# Notebooks", "", *(listed or ["There are none yet."]), ""]
    files.append(
        File.generated(config, "notebooks/index.md", content="\n".join(lines))
    )
    return files


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Rewrites the links of a page that leave `docs`."""
    if page.file.generated_by is not None:
        return markdown
    here = page.file.src_uri
    text = relink(markdown, str(DOCS / here), here, config)
    return text if here.startswith("api/") else with_entries(text)


def relink(text: str, source: str, page: str, config: MkDocsConfig) -> str:
    """Rewrites the links of Markdown that stands in the repository.

    Args:
        text: The Markdown.
        source: The file it is from, relative to the repository.
        page: The page it becomes, relative to `docs`.
        config: The site's settings.

    Returns:
        The Markdown, whose links lead to pages, or out of the site.
    """

    def replaced(match: re.Match[str]) -> str:
        image, label, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path, _, anchor = target.partition("#")
        where = PurePosixPath(
            os.path.normpath(PurePosixPath(source).parent / path)
        )
        found = page_of(where)
        if found is not None:
            to = os.path.relpath(found, PurePosixPath(page).parent)
            to += f"#{anchor}" if anchor else ""
            return f"{image}[{label}]({to})"
        if not (ROOT / where).exists():
            # For MkDocs to complain about.
            return match[0]
        if config.repo_url:
            address = f"{config.repo_url.rstrip('/')}/blob/main/{where}"
            return f"{image}[{label}]({address})"
        return label if str(where) in label else f"{label}: `{where}`"

    return outside_fences(text, lambda part: _LINK.sub(replaced, part))


def with_entries(text: str) -> str:
    """Links the first mention of each class to its entry in the reference."""
    left = entries()

    def replaced(match: re.Match[str]) -> str:
        line = match.string[: match.start()].rpartition("\n")[2]
        if line.startswith("#") or match[1] not in left:
            return match[0]
        return f"[{match[0]}][{left.pop(match[1])}]"

    return outside_fences(text, lambda part: _NAME.sub(replaced, part))


def page_of(path: PurePosixPath) -> str | None:
    """Returns the page that a file of the repository is, if it is one.

    Args:
        path: The file, relative to the repository.
    """
    if str(path) in PAGES:
        return PAGES[str(path)]
    if path.is_relative_to(DOCS):
        return str(path.relative_to(DOCS))
    if path.parent == EXAMPLES and path.suffix == ".ipynb":
        return f"notebooks/{path.stem}.md"
    return None


def notebooks() -> list[Path]:
    """Lists the notebooks, each with what its cells printed if it was run."""
    found = []
    for path in sorted((ROOT / EXAMPLES).glob("*.ipynb")):
        executed = ROOT / EXECUTED / path.name
        found.append(executed if executed.exists() else path)
    return found


def title(text: str) -> str:
    """Returns the first heading of Markdown."""
    match = re.search(r"^# (.+)$", text, re.M)
    return match[1] if match else "Untitled"


def rendered(path: Path) -> tuple[str, dict[str, bytes]]:
    """Returns a notebook as Markdown.

    Args:
        path: The notebook.

    Returns:
        The Markdown; and the pictures in it by name, beside the page.
    """
    notebook = json.loads(path.read_text())
    language = notebook["metadata"].get("language_info", {})
    language = language.get("name", "python")
    parts: list[str] = []
    images: dict[str, bytes] = {}
    for index, cell in enumerate(notebook["cells"]):
        source = _text(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code" and source.strip():
            parts.append(_fenced(source, language))
            for number, output in enumerate(cell["outputs"]):
                name = f"{path.stem}_{index}_{number}"
                parts += _shown(output, name, images)
    parts.insert(1, f"[Download the notebook]({path.name})")
    return "\n\n".join(parts) + "\n", images


def _shown(
    output: dict[str, Any], name: str, images: dict[str, bytes]
) -> Iterator[str]:
    """Returns one output of a cell as Markdown."""
    if output["output_type"] == "stream":
        yield _output(_text(output["text"]))
    elif output["output_type"] == "error":
        yield _output("\n".join(output["traceback"]))
    else:
        data = output["data"]
        if "image/png" in data:
            images[f"{name}.png"] = b64decode(_text(data["image/png"]))
            yield f"![Output of the cell]({name}.png)"
        elif "image/svg+xml" in data:
            images[f"{name}.svg"] = _text(data["image/svg+xml"]).encode()
            yield f"![Output of the cell]({name}.svg)"
        elif "text/markdown" in data:
            yield _text(data["text/markdown"])
        elif "text/html" in data:
            # Without the empty lines that would end it for Markdown.
            html = re.sub(r"\n\s*\n", "\n", _text(data["text/html"]))
            yield f"<div>{html.strip()}</div>"
        elif "text/plain" in data:
            yield _output(_text(data["text/plain"]))


def _output(text: str) -> str:
    """Returns printed text as a fence, as a terminal would show it."""
    lines = []
    for line in _ESCAPES.sub("", text).splitlines():
        # A progress bar goes back to the beginning of its line.
        shown = line.split("\r")[-1]
        while "\x08" in shown:
            shown = _BACK.sub("", shown)
        lines.append(shown.rstrip())
    fence = _fenced("\n".join(lines).strip("\n"), "text")
    return f'<div class="output" markdown>\n\n{fence}\n\n</div>'


def _fenced(text: str, language: str) -> str:
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 0)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _text(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)

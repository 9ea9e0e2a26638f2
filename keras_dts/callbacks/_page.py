"""HTML of reports: a page of sections, tables and pictures.

Every text is escaped here, so that no name of a model or metric is read as
HTML.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping
from typing import Any

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1a1a1a; --paper: #fff;
  --line: #ccc; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e6e6; --paper: #000; --line: #444; }} }}
body {{ font: 16px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }}
h1 {{ font-size: 1.6rem; }} h2 {{ font-size: 1.2rem; margin-top: 2rem; }}
img {{ max-width: 100%; height: auto; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 0.2rem 1rem 0.2rem 0; text-align: left;
  vertical-align: top; border-bottom: 1px solid var(--line); }}
.numbers td, .numbers th {{ text-align: right; }}
td {{ overflow-wrap: anywhere; }}
.numbers td {{ overflow-wrap: normal; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{state}</p>
{parts}
</body>
</html>
"""


def page(title: str, state: str, sections: Mapping[str, str]) -> str:
    """Returns a page that needs no other file and runs no script.

    Args:
        title: The heading, as text.
        state: The line below the heading, as text.
        sections: The HTML of each section by its heading.
    """
    parts = [f"<h2>{_text(k)}</h2>\n{v}" for k, v in sections.items()]
    return _PAGE.format(
        title=_text(title), state=_text(state), parts="\n".join(parts)
    )


def names_and_values(values: Mapping[str, Any]) -> str:
    """Returns a table of two columns.

    Args:
        values: Texts or numbers by name; a list has a line for each item.
    """
    rows = []
    for name, value in values.items():
        several = value if isinstance(value, list) else [value]
        texts = [_number(v) if isinstance(v, float) else v for v in several]
        cell = "<br>".join(_text(text) for text in texts)
        rows.append(f"<tr><th>{_text(name)}</th><td>{cell}</td></tr>")
    return _table(rows)


def epochs_and_logs(epochs: list[int], logged: list[dict[str, float]]) -> str:
    """Returns a table of the logs, a row for each epoch.

    Args:
        epochs: The epochs, counted from 0.
        logged: The logs of each epoch; some may lack names that others have.
    """
    names = names_in(logged)
    rows = [_row("th", ["epoch", *names])]
    for epoch, logs in zip(epochs, logged, strict=True):
        cells = [_number(logs[n]) if n in logs else "" for n in names]
        rows.append(_row("td", [str(epoch + 1), *cells]))
    return _table(rows, "numbers")


def names_in(logged: list[dict[str, float]]) -> list[str]:
    """Returns all names in the logs, in the order of their first epoch."""
    return list(dict.fromkeys(name for logs in logged for name in logs))


def picture(light: bytes, dark: bytes, description: str) -> str:
    """Returns one picture, drawn for light and for dark screens.

    Args:
        light: A PNG for light screens.
        dark: A PNG for dark screens.
        description: The text that stands for the picture.
    """
    return (
        '<picture><source media="(prefers-color-scheme: dark)" '
        f'srcset="{_url(dark)}"><img src="{_url(light)}" width="700" '
        f'alt="{_text(description)}"></picture>'
    )


def _url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _table(rows: Iterable[str], kind: str = "") -> str:
    lines = "\n".join(rows)
    return f'<div class="wide"><table class="{kind}">\n{lines}\n</table></div>'


def _row(cell: str, texts: Iterable[str]) -> str:
    cells = "".join(f"<{cell}>{_text(text)}</{cell}>" for text in texts)
    return f"<tr>{cells}</tr>"


def _number(value: float) -> str:
    return f"{value:.5g}"


def _text(value: Any) -> str:
    """Returns the text with HTML's characters escaped.

    Halves of surrogate pairs, which no file can hold, are written as numbers.
    """
    whole = str(value).encode("utf-8", "backslashreplace").decode("utf-8")
    return html.escape(whole)

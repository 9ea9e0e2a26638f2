"""A report of a training, as one HTML file."""

from __future__ import annotations

import base64
import html
import inspect
import io
import json
import math
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_dts.distiller import Distiller
from keras_dts.utils import require, serialize, versions, write_text

# While a training runs, the next report waits for this many times as long as
# the last one took, so that all of them take a tenth of the time at most.
_PATIENCE = 10.0

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


class RunReport(keras.callbacks.Callback):
    """Writes a report of a training: one HTML file that needs no other.

    It has the values of the last epoch, the picture of
    `keras_dts.plots.plot_run` for light and dark screens, what was trained
    and how, the versions, and a table of all epochs. It is written at the end,
    and before that after the first epoch and after others, as far as this
    takes a tenth of the time at most: a training that is stopped leaves one
    too. Any model's `fit` takes it; with a `keras_dts.Distiller` the set-up
    says more.

    Args:
        path: The file, whose directory is made if it is missing.
        title: The heading; `None` takes the model's name.

    Raises:
        ImportError: At the start of `fit`, if Matplotlib is missing.
        ValueError: If `path` is a directory.

    Example:
    >>> import tempfile
    >>> from pathlib import Path
    >>> import keras
    >>> import numpy as np
    >>> from keras_dts.distiller import Distiller
    >>> teacher, student = (
    ...     keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    ...     for _ in range(2)
    ... )
    >>> distiller = keras_dts.Distiller(teacher, student)
    >>> distiller.compile("sgd", loss=None)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "report.html"
    ...     history = distiller.fit(
    ...         np.ones((8, 4), "float32"),
    ...         epochs=2,
    ...         verbose=0,
    ...         callbacks=[keras_dts.callbacks.RunReport(path, "My run")],
    ...     )
    ...     "<h1>My run</h1>" in path.read_text("utf-8")
    True
    """

    def __init__(
        self, path: str | os.PathLike[str], title: str | None = None
    ) -> None:
        super().__init__()
        self._path = Path(path)
        if self._path.is_dir():
            raise ValueError(
                "`path` must be a file. Received: the directory "
                f"{str(self._path)!r}"
            )
        self._title = title
        self._begun = self._next = 0.0
        # The epochs, and the logs of each.
        self._epochs: list[int] = []
        self._logged: list[dict[str, float]] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Finds out early what would stop the report late."""
        require("plots", "Pictures", "matplotlib.figure")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._begun = self._next = time.monotonic()
        self._epochs, self._logged = [], []

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Writes the report, if it is time."""
        self._epochs.append(epoch)
        self._logged.append({k: float(v) for k, v in (logs or {}).items()})
        begun = time.monotonic()
        if begun >= self._next:
            self._write("The training was still running.")
            ended = time.monotonic()
            self._next = ended + _PATIENCE * (ended - begun)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Writes the last report."""
        if self._epochs:
            self._write("The training has ended.")

    def _write(self, state: str) -> None:
        seconds = time.monotonic() - self._begun
        state = (
            f"{state} {len(self._epochs)} of {self.params['epochs']} epochs in "
            f"{seconds:.1f} seconds, written {time.strftime('%Y-%m-%d %H:%M')}."
        )
        parts = [
            _section("Last epoch", _pairs(self._logged[-1])),
            _section("Picture", _picture(self._complete())),
            _section("Set-up", _pairs(_setup(self.model))),
            _section(
                "Versions", _pairs(versions() | {"numpy": np.__version__})
            ),
            _section("Epochs", _epochs(self._epochs, self._logged)),
        ]
        title = self._title or str(self.model.name)
        page = _PAGE.format(
            title=_text(title), state=_text(state), parts="\n".join(parts)
        )
        write_text(self._path, page)

    def _complete(self) -> keras.callbacks.History:
        """Returns a history that has a value of each name for each epoch.

        Validation may run in some epochs only; the others get NaN.
        """
        complete = keras.callbacks.History()
        complete.epoch = self._epochs
        complete.history = {
            name: [logs.get(name, math.nan) for logs in self._logged]
            for name in _names(self._logged)
        }
        return complete


def _setup(model: keras.Model) -> dict[str, Any]:
    """Returns what was trained and how, by name."""
    setup: dict[str, Any] = {
        "model": f"{model.name}, {model.count_params():,} parameters",
        "optimizer": _optimizer(model.optimizer),
        "loss": _shown(model.loss),
    }
    if isinstance(model, Distiller):
        for role in ("teacher", "student"):
            one = getattr(model, role)
            setup[role] = f"{one.name}, {one.count_params():,} parameters"
        setup["temperature"] = _shown(model.temperature)
        setup["distillation losses"] = [
            _shown(loss) for loss in model.distillation_losses
        ]
        setup["their weights"] = [
            _shown(weight) for weight in model.distillation_loss_weights
        ]
        setup["weight of the labels"] = _shown(model.student_loss_weight)
        del setup["model"]
    return setup


def _optimizer(optimizer: Any) -> str:
    """Returns an optimizer's name and rate, or how the rate is scheduled."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return f"{_optimizer(optimizer.inner_optimizer)}, with a loss scale"
    rate = optimizer.get_config().get("learning_rate")
    is_number = isinstance(rate, (int, float))
    rate = f"{rate:.6g}" if is_number else _described(rate)
    return f"{type(optimizer).__name__}, learning rate {rate}"


def _shown(thing: Any) -> str:
    """Returns the class and the arguments of what Keras can describe."""
    if thing is None or isinstance(thing, (str, int, float)):
        return str(thing)
    if inspect.isfunction(thing):
        return str(thing.__name__)
    try:
        return _described(serialize(thing))
    except (NotImplementedError, TypeError, ValueError):
        return type(thing).__name__  # it has no configuration


def _described(config: Any) -> str:
    """Returns what `serialize` made, in one line."""
    if isinstance(config, list):
        return ", ".join(_described(c) for c in config)
    if isinstance(config, dict) and "class_name" in config:
        arguments = config.get("config") or {}
        if not isinstance(arguments, Mapping):
            return str(arguments)
        inner = ", ".join(
            f"{name}={_described(value)}"
            for name, value in arguments.items()
            if name not in ("name", "dtype", "trainable") and value is not None
        )
        return f"{config['class_name']}({inner})"
    if isinstance(config, dict):
        return ", ".join(f"{k}: {_described(v)}" for k, v in config.items())
    return json.dumps(config, default=str)


def _picture(history: keras.callbacks.History) -> str:
    """Returns the run's picture, for light screens and for dark ones."""
    from matplotlib import style

    from keras_dts import plots

    sources = []
    for name in ("default", "dark_background"):
        with style.context(name):
            file = io.BytesIO()
            plots.plot_run(history)[0].figure.savefig(file, format="png")
        data = base64.b64encode(file.getvalue()).decode()
        sources.append(f"data:image/png;base64,{data}")
    light, dark = sources
    return (
        '<picture><source media="(prefers-color-scheme: dark)" '
        f'srcset="{dark}"><img src="{light}" width="700" '
        'alt="temperature, gap, losses and accuracy over the epochs">'
        "</picture>"
    )


def _names(logged: list[dict[str, float]]) -> list[str]:
    """Returns all names in the logs, in the order they came."""
    return list(dict.fromkeys(name for logs in logged for name in logs))


def _epochs(epochs: list[int], logged: list[dict[str, float]]) -> str:
    """Returns the table of all epochs."""
    names = _names(logged)
    rows = [_row("th", ["epoch", *names])]
    for epoch, logs in zip(epochs, logged, strict=True):
        cells = [_number(logs[n]) if n in logs else "" for n in names]
        rows.append(_row("td", [str(epoch + 1), *cells]))
    return _table(rows, "numbers")


def _pairs(values: Mapping[str, Any]) -> str:
    """Returns a table of names and values."""
    rows = []
    for name, value in values.items():
        several = value if isinstance(value, list) else [value]
        texts = [_number(v) if isinstance(v, float) else v for v in several]
        cell = "<br>".join(_text(text) for text in texts)
        rows.append(f"<tr><th>{_text(name)}</th><td>{cell}</td></tr>")
    return _table(rows)


def _table(rows: Iterable[str], kind: str = "") -> str:
    lines = "\n".join(rows)
    return f'<div class="wide"><table class="{kind}">\n{lines}\n</table></div>'


def _row(cell: str, texts: Iterable[str]) -> str:
    cells = "".join(f"<{cell}>{_text(text)}</{cell}>" for text in texts)
    return f"<tr>{cells}</tr>"


def _section(title: str, content: str) -> str:
    return f"<h2>{_text(title)}</h2>\n{content}"


def _number(value: float) -> str:
    return f"{value:.5g}"


def _text(value: Any) -> str:
    """Returns a text as HTML shows it, whoever wrote it."""
    return html.escape(str(value))

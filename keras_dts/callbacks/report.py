"""A report of a training, as one HTML file."""

from __future__ import annotations

import inspect
import io
import json
import math
import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_dts.callbacks import _page
from keras_dts.distiller import Distiller
from keras_dts.utils import require, serialize, versions, write_text

# While a training runs, the next report waits this many times the duration of
# the last one, so that all reports take at most a tenth of the time.
_PATIENCE = 10.0


class RunReport(keras.callbacks.Callback):
    """Writes a report of a training: one HTML file that needs no other file.

    The report has the values of the last epoch, the picture of
    `keras_dts.plots.plot_run` for light and dark screens, the models, losses
    and optimizer, the versions, and a table of all epochs. It is written after
    the first epoch, after later epochs as long as all reports take at most a
    tenth of the time, and at the end. An interrupted training therefore has a
    report too. The callback works with every model; for a
    `keras_dts.Distiller` the report also describes the distillation.

    A report ends no training: what among the logs is no number is left out, and
    a report that cannot be written is missing, each with a warning.

    Args:
        path: The file. A missing directory is made.
        title: The heading; `None` stands for the model's name.

    Raises:
        ImportError: At the start of `fit`, if Matplotlib is missing.
        OSError: At the start of `fit`, if the directory cannot be made.
        ValueError: If `path` is a directory.

    Example:
    >>> import tempfile
    >>> from pathlib import Path
    >>> import keras
    >>> import numpy as np
    >>> import keras_dts
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
        # The epochs, and the logs of each epoch.
        self._epochs: list[int] = []
        self._logged: list[dict[str, float]] = []
        self._warned: set[str] = set()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Checks before the training what the report needs after it."""
        require("plots", "Pictures", "matplotlib.figure")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._begun = self._next = time.monotonic()
        self._epochs, self._logged = [], []
        self._warned = set()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Writes the report, if the next one is due."""
        self._epochs.append(epoch)
        self._logged.append(self._numbers(logs or {}))
        begun = time.monotonic()
        if begun >= self._next:
            self._try_to_write("The training was still running.")
            ended = time.monotonic()
            self._next = ended + _PATIENCE * (ended - begun)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Writes the last report."""
        if self._epochs:
            self._try_to_write("The training has ended.")

    def _numbers(self, logs: dict[str, Any]) -> dict[str, float]:
        """Returns the logs as floats, without what is no number."""
        numbers = {}
        for name, value in logs.items():
            try:
                numbers[name] = _to_float(value)
            except (OverflowError, TypeError, ValueError):
                self._warn_once(
                    f"`RunReport` leaves out {name!r} of the logs, which is no "
                    "number."
                )
        return numbers

    def _try_to_write(self, state: str) -> None:
        """Writes the report; whatever fails there is a warning."""
        try:
            self._write(state)
        except Exception as error:
            self._warn_once(
                f"`RunReport` could not write {str(self._path)!r}, and the "
                f"training goes on: {type(error).__name__}: {error!s:.200}"
            )

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            warnings.warn(message, stacklevel=2)

    def _write(self, state: str) -> None:
        seconds = time.monotonic() - self._begun
        state = (
            f"{state} {len(self._epochs)} of {self.params['epochs']} epochs in "
            f"{seconds:.1f} seconds, written {time.strftime('%Y-%m-%d %H:%M')}."
        )
        sections = {
            "Last epoch": _page.names_and_values(self._logged[-1]),
            "Picture": _picture(self._complete()),
            "Set-up": _page.names_and_values(_setup(self.model)),
            "Versions": _page.names_and_values(
                versions() | {"numpy": np.__version__}
            ),
            "Epochs": _page.epochs_and_logs(self._epochs, self._logged),
        }
        title = self._title or str(self.model.name)
        write_text(self._path, _page.page(title, state, sections))

    def _complete(self) -> keras.callbacks.History:
        """Returns a history with a value of each name for each epoch.

        Epochs without validation get NaN for its values.
        """
        complete = keras.callbacks.History()
        complete.epoch = self._epochs
        complete.history = {
            name: [logs.get(name, math.nan) for logs in self._logged]
            for name in _page.names_in(self._logged)
        }
        return complete


def _to_float(value: Any) -> float:
    """Returns a number of the logs, also if it is a tensor, as a float.

    Raises:
        OverflowError: If it is too large.
        TypeError: If it is no number.
        ValueError: If it is several numbers.
    """
    if isinstance(value, (str, bytes)) or np.ndim(value):
        raise TypeError("no number")
    return float(value)


def _setup(model: keras.Model) -> dict[str, Any]:
    """Returns descriptions of models, losses and optimizer, by name."""
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
    """Returns an optimizer's name and its learning rate or schedule."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return f"{_optimizer(optimizer.inner_optimizer)}, with a loss scale"
    rate = optimizer.get_config().get("learning_rate")
    is_number = isinstance(rate, (int, float))
    rate = f"{rate:.6g}" if is_number else _described(rate)
    return f"{type(optimizer).__name__}, learning rate {rate}"


def _shown(thing: Any) -> str:
    """Returns the class and arguments of an object, or its class alone."""
    if thing is None or isinstance(thing, (str, int, float)):
        return str(thing)
    if inspect.isfunction(thing):
        return str(thing.__name__)
    try:
        return _described(serialize(thing))
    except (NotImplementedError, TypeError, ValueError):
        return type(thing).__name__  # without a configuration


def _described(config: Any) -> str:
    """Returns a configuration of `serialize` in one line."""
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
    """Returns the run's picture as HTML, for light and for dark screens."""
    from matplotlib import style

    from keras_dts import plots

    pictures = []
    for name in ("default", "dark_background"):
        with style.context(name):
            file = io.BytesIO()
            plots.plot_run(history)[0].figure.savefig(file, format="png")
        pictures.append(file.getvalue())
    light, dark = pictures
    description = "temperature, gap, losses and accuracy over the epochs"
    return _page.picture(light, dark, description)

"""The finished trainings of a comparison, in memory and in a file."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_dts.results import Row
from keras_dts.utils import write_text


class Trainings:
    """Keeps the finished trainings of a comparison, for one that resumes it.

    Args:
        path: The file, which is read if it exists; `None` writes none.
        about: What all trainings of the comparison share, as JSON holds it.

    Raises:
        ValueError: If the file cannot be read, is none that `add` wrote, or
            is of another comparison.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None, about: dict[str, Any]
    ) -> None:
        self._path = None if path is None else Path(path)
        self._about = about
        self._done = [] if self._path is None else self._read(self._path)

    def _read(self, path: Path) -> list[dict[str, Any]]:
        try:
            content = json.loads(path.read_text("utf-8"))
            found, done = content["about"], content["trainings"]
            _check(found, done)
        except FileNotFoundError:
            return []
        except (
            KeyError,
            OSError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            raise ValueError(
                "`resume` must be a file that `compare` wrote, or a new one. "
                f"Received: {str(path)!r} ({type(error).__name__}: {error})"
            ) from error
        for name, wanted in self._about.items():
            if found.get(name) != wanted:
                raise ValueError(
                    "`resume` must be a file of the same comparison. Received: "
                    f"{str(path)!r}, which is one with "
                    f"{name}={found.get(name)!r}, not {wanted!r}"
                )
        return list(done)

    def check_writable(self) -> None:
        """Writes the file as it is, before there is something to lose.

        Raises:
            ValueError: If that is not possible.
        """
        try:
            self._write()
        except OSError as error:
            raise ValueError(
                "`resume` must be a file that can be written. Received: "
                f"{str(self._path)!r} ({type(error).__name__}: {error})"
            ) from error

    def find(self, method: str, seed: int) -> dict[str, Any] | None:
        """Returns a finished training, or `None`."""
        for training in self._done:
            if (training["method"], training["seed"]) == (method, seed):
                return training
        return None

    def add(self, training: dict[str, Any]) -> None:
        """Adds a finished training, and writes the file.

        Args:
            training: What `Training.run` returned.
        """
        self._done.append(training)
        self._write()

    def _write(self) -> None:
        if self._path is not None:
            content = {"about": self._about, "trainings": self._done}
            write_text(self._path, json.dumps(content, indent=2) + "\n")

    def row(self, method: str, seeds: Iterable[int]) -> Row:
        """Returns a method's results; all its trainings are finished."""
        found = [self.find(method, seed) for seed in seeds]
        trainings = [training for training in found if training is not None]
        return Row(
            method,
            trainings[0]["parameters"],
            [training["value"] for training in trainings],
            [training["seconds"] for training in trainings],
        )


# The type of each entry of a training. `bool`, which is an `int`, is none.
_FIELDS = {
    "method": (str,),
    "seed": (int,),
    "parameters": (int,),
    "value": (int, float),
    "seconds": (int, float),
}


def _check(about: Any, trainings: Any) -> None:
    """Raises unless what a file holds is what `Trainings.add` writes.

    Raises:
        TypeError: If it has another form.
        ValueError: If a number is out of its range, or a training there twice.
    """
    if not isinstance(about, dict) or not isinstance(trainings, list):
        raise TypeError("`about` is a dictionary, `trainings` a list")
    seen = set()
    for training in trainings:
        if not isinstance(training, dict) or set(training) != set(_FIELDS):
            raise TypeError(f"each training has {', '.join(_FIELDS)}")
        for name, types in _FIELDS.items():
            if type(training[name]) not in types:
                raise TypeError(f"{name}={training[name]!r}")
        counts = training["seed"], training["parameters"]
        # A value may be NaN: of a training that diverged.
        if min(counts) < 0 or not 0 <= training["seconds"] < math.inf:
            raise ValueError("a number is out of its range")
        key = training["method"], training["seed"]
        if key in seen:
            raise ValueError(f"{key} is there twice")
        seen.add(key)

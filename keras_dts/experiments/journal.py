"""The finished trainings of a comparison, in memory and in a file."""

from __future__ import annotations

import json
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
        ValueError: If the file is of another comparison.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None, about: dict[str, Any]
    ) -> None:
        self._path = None if path is None else Path(path)
        self._about = about
        self._done: list[dict[str, Any]] = []
        if self._path is not None and self._path.exists():
            self._done = self._read(self._path)

    def _read(self, path: Path) -> list[dict[str, Any]]:
        try:
            content = json.loads(path.read_text("utf-8"))
            found, done = content["about"], content["trainings"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                "`resume` must be a file that `compare` wrote, or a new one. "
                f"Received: {str(path)!r}"
            ) from error
        for name, wanted in self._about.items():
            if found.get(name) != wanted:
                raise ValueError(
                    "`resume` must be a file of the same comparison. Received: "
                    f"{str(path)!r}, which is one with "
                    f"{name}={found.get(name)!r}, not {wanted!r}"
                )
        return list(done)

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

"""The weights of a model that are kept, with the epoch that they are of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_dts.utils import replaced, write_text


class Kept(NamedTuple):
    """Says which weights are kept.

    Attributes:
        epoch: The epoch after which the model had them, counted from 0.
        value: What chose them.
    """

    epoch: int
    value: float


class KeptWeights:
    """Keeps one state of a model's weights, in memory or in a folder.

    In a folder they outlive the process: a killed one leaves the state before,
    or the new one.

    Args:
        folder: A folder of its own, or `None` for memory.

    Raises:
        ValueError: If the folder's note cannot be read.

    Attributes:
        kept: Which weights are kept, or `None`.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.kept = self._read()
        self._weights: list[Any] = []

    def save(self, model: keras.Model, kept: Kept) -> None:
        """Keeps the weights that a model has, in the place of older ones."""
        if self.folder is None:
            # Copies: a backend may hand out its own memory.
            self._weights = [np.array(w) for w in model.get_weights()]
            self.kept = kept
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(kept)
        with replaced(path) as part:
            model.save_weights(part)
        write_text(self._note, json.dumps(kept._asdict()))
        self.kept = kept
        for other in self.folder.glob("*.weights.h5"):
            if other != path:
                other.unlink()

    def put_back(self, model: keras.Model) -> None:
        """Gives a model the kept weights."""
        if self.folder is None:
            model.set_weights(self._weights)
        else:
            assert self.kept is not None
            model.load_weights(self._path(self.kept))

    def forget(self) -> None:
        """Keeps nothing any more, and removes the folder."""
        self.kept, self._weights = None, []
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _note(self) -> Path:
        assert self.folder is not None
        return self.folder / "kept.json"

    def _path(self, kept: Kept) -> Path:
        assert self.folder is not None
        return self.folder / f"epoch-{kept.epoch}.weights.h5"

    def _read(self) -> Kept | None:
        if self.folder is None or not self._note.exists():
            return None
        try:
            return Kept(**json.loads(self._note.read_text("utf-8")))
        except (ValueError, TypeError) as error:
            raise ValueError(
                "`backup_dir` must hold what `keras_dts.callbacks.Phase` wrote "
                "there, or nothing. Received a file that it did not write: "
                f"{str(self._note)!r}"
            ) from error

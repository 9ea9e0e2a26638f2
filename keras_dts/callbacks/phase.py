"""The callback that begins a second phase of a training."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import keras

from keras_dts.callbacks._kept import Kept, KeptWeights
from keras_dts.distiller import Distiller, FitReader
from keras_dts.utils import check_choice, check_count

# Parts of names by which `mode="auto"` knows what is better.
_UP = ("acc", "auc", "precision", "recall", "f1", "iou", "agreement")
_DOWN = ("loss", "error", "entropy", "perplexity", "teacher_kl", "gap")
# Variables of an optimizer that callbacks set.
_SET_BY_CALLBACKS = ("learning_rate", "multipliers")


class Phase(FitReader):
    """Begins a phase of a training with the best student so far.

    At the beginning of epoch `begins` the student gets the weights that it had
    after the best epoch before, and the optimizer is as new: its slots are
    cleared, and its steps count from 0; its learning rate stays, and a schedule
    of it starts again. What else changes with the epoch, such as the weights of
    losses, is for `keras_dts.schedules.EpochSchedule` to say. Epochs count from
    0, as Keras's `initial_epoch` does; a training of several calls of `fit`
    needs that argument. The temperatures and the projectors stay as they are.

    Beside `keras.callbacks.BackupAndRestore`, which must come later in
    `callbacks`, a stopped training goes on as if nothing had happened: the best
    student is kept in a folder beside its folder. After the training the folder
    is removed.

    Args:
        begins: The epoch that the phase begins with, at least 1.
        restore: `"best"`, or `None` to go on with the student as it is.
        monitor: What the logs have of each epoch, or of each with a validation,
            that says which student is best.
        mode: `"max"` or `"min"`: which value of `monitor` is best. `"auto"`
            knows it by the names of accuracies, losses and the like.
        reset_optimizer: Whether the optimizer is as new.
        backup_dir: The path of a folder for the best student. `None` is a
            folder beside that of `BackupAndRestore`, or memory without one.
            For trainings that are resumed in another way, such as by
            `load_weights` and `initial_epoch`.

    Raises:
        ValueError: If an argument is none of this. From `fit`, if `monitor`
            needs a validation that is missing or is not logged, if no epoch
            before `begins` had it, if `BackupAndRestore` comes first, or if the
            model is no `keras_dts.Distiller`.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_dts
    >>> def classifier():
    ...     return keras.Sequential(
    ...         [keras.Input((4,)), keras.layers.Dense(3)]
    ...     )
    >>> distiller = keras_dts.Distiller(
    ...     classifier(),
    ...     classifier(),
    ...     keras_dts.losses.AnnealingKD(epochs=2, levels=2),
    ...     student_loss_weight=keras_dts.schedules.EpochSchedule(
    ...         [2], [0.0, 1.0]
    ...     ),
    ... )
    >>> distiller.compile(
    ...     "adam",
    ...     keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    ...     metrics=["accuracy"],
    ... )
    >>> x, y = np.ones((8, 4), "float32"), np.zeros(8, "int32")
    >>> history = distiller.fit(
    ...     x,
    ...     y,
    ...     epochs=3,
    ...     validation_data=(x, y),
    ...     callbacks=[keras_dts.callbacks.Phase(begins=2)],
    ...     verbose=0,
    ... )
    >>> int(distiller.optimizer.iterations)
    1

    Reference:
        Jafari et al., Annealing Knowledge Distillation, arXiv 2104.07163,
        2021, whose two phases these are.
    """

    def __init__(
        self,
        begins: int,
        restore: str | None = "best",
        monitor: str = "val_accuracy",
        mode: str = "auto",
        reset_optimizer: bool = True,
        backup_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        check_count("begins", begins)
        check_choice("restore", restore, ["best", None])
        check_choice("mode", mode, ["auto", "max", "min"])
        if restore is None and not reset_optimizer:
            raise ValueError(
                "`reset_optimizer` must be true where `restore` is `None`: the "
                "phase would change nothing. Received: "
                f"reset_optimizer={reset_optimizer!r}"
            )
        self.begins = begins
        self.restore = restore
        self.monitor = monitor
        self.reset_optimizer = reset_optimizer
        self.backup_dir = backup_dir
        self._sign = _sign(monitor, mode) if restore else 1.0
        self._best = KeptWeights(None)

    def read_fit(self, options: dict[str, Any]) -> None:
        """Checks the arguments of `fit`, and finds out where to keep weights.

        Args:
            options: The arguments of `fit` by name.

        Raises:
            ValueError: If they do not fit this phase.
        """
        if self.restore is None:
            return
        validated = options.get("validation_data") is not None
        if not validated and not options.get("validation_split"):
            self._refuse_validation()
        callbacks = options["callbacks"]
        later = callbacks[callbacks.index(self) + 1 :]
        if any(isinstance(c, Phase) and c.begins == self.begins for c in later):
            raise ValueError(
                "`callbacks` must have one `Phase` for each epoch that one "
                f"begins with. Received: two with begins={self.begins!r}"
            )
        folder = None
        if self.backup_dir is not None:
            folder = Path(self.backup_dir, f"phase-{self.begins}")
        for callback in callbacks:
            if isinstance(callback, keras.callbacks.BackupAndRestore):
                if callback not in later:
                    raise ValueError(
                        "`callbacks` must have `Phase` before "
                        "`BackupAndRestore`, which else backs up an epoch "
                        "whose best student is not kept yet. Received: "
                        "`BackupAndRestore` first"
                    )
                folder = folder or self._beside(callback.backup_dir)
        if self._best.folder != folder:
            self._best = KeptWeights(folder)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Raises before the training if the phase could not begin."""
        model = self.model
        if not isinstance(model, Distiller):
            raise ValueError(
                "`Phase` must be a callback of `keras_dts.Distiller.fit`. "
                f"Received: a model of type {type(model).__name__}"
            )
        if self.reset_optimizer:
            _as_new(model.optimizer)

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Begins the phase, if this is its first epoch."""
        if epoch == 0:  # of a training that has nothing to do with an older one
            self._best.forget()
        if epoch != self.begins:
            return
        model = self.model
        if self.restore:
            if self._best.kept is None:
                raise ValueError(
                    "`begins` must come after an epoch whose logs have "
                    f"`monitor`. Received: begins={self.begins!r}, and no "
                    f"epoch before it with {self.monitor!r}"
                )
            self._best.put_back(model.student)
        if self.reset_optimizer:
            _reset(model.optimizer, model.trainable_variables)

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Keeps the student if it is the best before the phase."""
        if self.restore is None or epoch >= self.begins:
            return
        logs = logs or {}
        if self.monitor not in logs:
            self._refuse_logs(logs)
            return
        value = float(logs[self.monitor])
        best = self._best.kept
        if math.isnan(value):
            return
        if best is None or self._sign * value > self._sign * best.value:
            self._best.save(self.model.student, Kept(epoch, value))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Forgets the best student, if no later call of `fit` needs it."""
        if self.params["epochs"] > self.begins:
            self._best.forget()

    def _beside(self, folder: Any) -> Path:
        """Returns a folder beside that of `BackupAndRestore`."""
        if "://" in str(folder):
            raise ValueError(
                "`backup_dir` of `Phase` must be a folder on this machine "
                "where that of `BackupAndRestore` is not on it. Received: "
                f"`BackupAndRestore` with backup_dir={str(folder)!r}"
            )
        path = Path(folder)
        return path.with_name(f"{path.name}-phase-{self.begins}")

    def _refuse_validation(self) -> None:
        """Raises if the monitored value would need a validation."""
        if self.monitor.startswith("val_"):
            raise ValueError(
                "`validation_data` must be given to `fit` for the `monitor` "
                "of `Phase`. Received: no validation, and "
                f"monitor={self.monitor!r}"
            )

    def _refuse_logs(self, logs: dict[str, Any]) -> None:
        """Raises unless this is merely an epoch without a validation."""
        validated = any(name.startswith("val_") for name in logs)
        if validated or not self.monitor.startswith("val_"):
            raise ValueError(
                "`monitor` must be one of what the logs have of an epoch: "
                f"{', '.join(map(repr, sorted(logs)))}. Received: "
                f"monitor={self.monitor!r}"
            )


def _sign(monitor: str, mode: str) -> float:
    """Returns 1 if high values are good, and -1 if low ones are."""
    up = mode == "max" or any(part in monitor for part in _UP)
    down = mode == "min" or any(part in monitor for part in _DOWN)
    if mode == "auto" and up == down:
        raise ValueError(
            '`mode` must be "max" or "min" for a `monitor` whose name does '
            "not say which value is best. Received: mode='auto', "
            f"monitor={monitor!r}"
        )
    return -1.0 if mode == "min" or (mode == "auto" and down) else 1.0


def _as_new(optimizer: keras.optimizers.Optimizer) -> Any:
    """Returns an optimizer as the given one was made, without variables."""
    return type(optimizer).from_config(optimizer.get_config())


def _reset(optimizer: keras.optimizers.Optimizer, variables: list[Any]) -> None:
    """Gives an optimizer's variables the values of a new one.

    What callbacks set stays: the learning rate, and the multipliers of a
    `LayerRates`. A compiled step has the variables, so that another optimizer
    could not take its place.
    """
    new = _as_new(optimizer)
    new.build(variables)
    for mine, fresh in zip(optimizer.variables, new.variables, strict=True):
        if mine.name not in _SET_BY_CALLBACKS:
            mine.assign(fresh.value)

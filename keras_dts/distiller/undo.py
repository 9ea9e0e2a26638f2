"""A training step that leaves no trace of a broken batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_dts.backend import (
    Copies,
    DataParallel,
    StoppedStepError,
    can_stop,
    runs_eagerly,
    with_optional_update,
)
from keras_dts.distiller.notes import FaultNotes
from keras_dts.distiller.online_teacher import learned_of
from keras_dts.distiller.state import groups_of


class UndoableStep:
    """Runs Keras's own training step, and undoes it if its batch was broken.

    All that a step moves stays: weights, the optimizer's state, policies,
    seeds and metrics. No step waits for the host. On JAX, where a step is a
    function, old values are chosen instead of new ones. Elsewhere copies are
    put back; of what the optimizer moves only where it cannot be left out: on
    PyTorch with a CPU Python knows in time what is wrong, and TensorFlow has
    branches.

    Args:
        distiller: The distiller.
        notes: Where its steps note what is wrong.
        before: What comes before Keras's own step, and is undone with it:
            from its arguments to its arguments.
        parallel: Runs the student where processes share a step.
    """

    def __init__(
        self,
        distiller: Any,
        notes: FaultNotes,
        before: Callable[..., Any],
        parallel: DataParallel,
    ) -> None:
        self._distiller = distiller
        self._notes = notes
        self._before = before
        self._parallel = parallel
        self._kept: list[Any] | None = None
        self._logs: dict[str, Any] | None = None

    def look_again(self) -> None:
        """Forgets which variables there are: the models may have changed.

        Where Python runs in every step, finding them takes long.
        """
        self._kept = self._logs = None
        self._parallel.look_again()

    def __call__(self, step: Callable[..., Any], *args: Any) -> Any:
        """Runs a step.

        Args:
            step: Keras's own.
            *args: Its arguments: the data; on JAX, the state and the data.
        """
        step = self._parallel.checked(step)
        if keras.config.backend() == "jax":
            return self._choose(step, *args)
        if can_stop(self._notes.counts):
            return self._stop_or_go_on(step, *args)
        return self._put_back(step, *args)

    def _stop_or_go_on(self, step: Callable[..., Any], data: Any) -> Any:
        """Runs a step that stops before the optimizer and metrics move."""
        if self._kept is None:
            self._kept = self._moved_by_a_step(after_the_loss=[])
        copies = Copies(self._kept)
        try:
            self._logs = step(*self._before(data))
        except StoppedStepError:
            copies.put_back()
            # It logs what the steps before it do.
            self._logs = self._as_they_are(
                self._logs or self._distiller.get_metrics_result()
            )
        return self._logs

    def _put_back(self, step: Callable[..., Any], data: Any) -> Any:
        """Runs a step, and then puts back what it moved, if need be."""
        counts = self._notes.counts
        before = ops.copy(counts.value)

        def is_broken() -> Any:
            return ops.any(ops.not_equal(counts.value, before))

        optional = with_optional_update(self._distiller, is_broken)
        if self._kept is None or not runs_eagerly():
            trained, _, slots, metrics = groups_of(self._distiller)
            moved = [*trained, *slots] if optional is None else []
            self._kept = self._moved_by_a_step(after_the_loss=moved + metrics)
        copies = Copies(self._kept)
        logs = (optional or step)(*self._before(data))
        copies.put_back(is_broken())
        return self._as_they_are(logs)

    def _choose(
        self, step: Callable[..., Any], state: Any, data: Any
    ) -> tuple[Any, Any]:
        """Runs a step that is a function of the state."""
        logs, after = step(*self._before(state, data))
        groups = tuple(groups_of(self._distiller))
        index = [v is self._notes.counts for v in groups[1]].index(True)
        broken = ops.any(ops.not_equal(after[1][index], state[1][index]))
        stays = {id(v) for v in self._untouched()}
        chosen = tuple(
            [
                new if id(v) in stays else ops.where(broken, old, new)
                for v, old, new in zip(*group, strict=True)
            ]
            for group in zip(groups, state, after, strict=True)
        )
        variables = [v for group in groups for v in group]
        values = [value for group in chosen for value in group]
        with keras.StatelessScope(zip(variables, values, strict=True)):
            return self._as_they_are(logs), chosen

    def _as_they_are(self, logs: dict[str, Any]) -> dict[str, Any]:
        """Returns what a step logs, by what the metrics are now."""
        found = self._distiller.get_metrics_result()
        return {name: found[name] for name in logs}

    def _untouched(self) -> list[Any]:
        """Returns the variables that a broken step need not give back."""
        distiller = self._distiller
        moved = [
            *distiller.student.variables,
            *learned_of(distiller.teacher),
        ]
        moves = {id(v) for v in moved}
        of_teacher = distiller.teacher.variables
        return [
            self._notes.counts,
            *(v for policy in distiller.policies for v in policy.constants),
            *(v for v in of_teacher if id(v) not in moves),
        ]

    def _moved_by_a_step(self, after_the_loss: list[Any]) -> list[Any]:
        """Returns what must be copied before a step.

        Args:
            after_the_loss: Those that move after the loss is computed.
        """
        stays = {id(v) for v in self._untouched()}
        moved = [*self._distiller.non_trainable_variables, *after_the_loss]
        return [v for v in moved if id(v) not in stays]

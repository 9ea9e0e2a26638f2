"""What a step logs, and the metrics that compare both models."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from keras_dts.backend import fast, no_gradient
from keras_dts.logits import LogitPair, WholeBatch
from keras_dts.types import Tensor
from keras_dts.utils import loss_dtype


class StepLogs(keras.metrics.Metric):
    """The means of what the steps of an epoch log, in one variable.

    A step counts as many times as it has examples, as Keras counts the loss.

    Args:
        names: The names of what is logged.
    """

    def __init__(self, names: list[str]) -> None:
        super().__init__(name="step_logs", dtype=loss_dtype())
        self.names = tuple(names)
        # The names that steps have logged since the last `reset_state`. A
        # compiled step knows its own.
        self._logged: set[str] = set()
        # The sums, and last the number of examples.
        self._sums = self.add_variable(
            shape=(len(names) + 1,), initializer="zeros", name="sums"
        )

    def update_state(self, values: dict[str, Tensor], examples: Any) -> None:
        """Adds a step.

        Args:
            values: Scalars by name; a name that is missing counts as 0, and
                is left out of the logs if it is in every step.
            examples: The number of examples in the step.
        """
        self._logged |= set(values)
        with no_gradient():
            one = fast.ones_like(self._sums.value[0])
            row = [values.get(name, 0.0 * one) for name in self.names]
            if not isinstance(examples, int):
                examples = ops.cast(examples, self.dtype)
            sums = self._sums.value + fast.stack([*row, one]) * examples
            self._sums.assign(sums)

    def reset_state(self) -> None:
        """Forgets the steps, and what they have logged."""
        super().reset_state()
        self._logged = set()

    def of_evaluation(self, result: Any, has_loss: bool) -> Any:
        """Leaves out the logs that an evaluation does not compute.

        Args:
            result: What an evaluation step returns: the logs; on JAX, the
                logs and the state.
            has_loss: Whether there are labels and a loss on them. Else
                `loss` would be the penalties, mostly 0, which looks perfect.
        """
        logs, *state = result if isinstance(result, tuple) else (result,)
        left_out = {*self.names, "loss"}
        left_out -= {"loss", "student_loss"} if has_loss else set()
        logs = {name: v for name, v in logs.items() if name not in left_out}
        return (logs, *state) if state else logs

    def result(self) -> dict[str, Tensor]:
        """Returns the means by name; 0 before the first step."""
        sums = self._sums.value
        means = sums / fast.clip(sums[-1], 1.0, math.inf)
        logged = self._logged or self.names
        return {
            name: means[i]
            for i, name in enumerate(self.names)
            if name in logged
        }


class DistillationMetrics:
    """The `distillation_metrics` of one `compile`.

    A plain class: what Keras tracks, the next `compile` could not replace.

    Args:
        metrics: The metrics.
    """

    def __init__(self, metrics: list[Any]) -> None:
        self.metrics = metrics

    def update(self, batch: WholeBatch) -> None:
        """Updates the metrics by a step, one output after the other."""
        for pair in batch.pairs:
            self.update_pair(pair)

    def update_pair(self, pair: LogitPair) -> None:
        """Updates the metrics by one output, or by some tokens of it."""
        if not self.metrics:
            return
        # Where the teacher says nothing, no class is its most probable one.
        best = ops.max(pair.teacher, axis=-1)
        weights = ops.where(ops.isfinite(best), 1.0, float("nan"))
        if pair.weights is not None:
            weights = weights * pair.weights
        for metric in self.metrics:
            pair.check_same_classes(metric.name)
            by_rank = getattr(metric, "by_rank", False)
            logits = (pair.teacher, pair.student)
            teacher, student = pair.argmax_logits if by_rank else logits
            metric.update_state(
                teacher, ops.stop_gradient(student), sample_weight=weights
            )


def results_of(metrics: Iterable[Any], *, labels: bool = True) -> Any:
    """Returns the logs of metrics by name.

    Args:
        metrics: The metrics. Those of `compile`, which Keras builds, stay
            unbuilt as long as no labels come.
        labels: Whether there are labels.
    """
    logs: dict[str, Any] = {}
    for metric in metrics:
        if getattr(metric, "built", True) and (
            labels or not hasattr(metric, "built")
        ):
            result = metric.result()
            named = isinstance(result, dict)
            logs |= result if named else {metric.name: result}
    return logs

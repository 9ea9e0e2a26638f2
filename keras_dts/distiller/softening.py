"""The losses on logits of a step, and the temperatures that they use."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from keras_dts.distiller.terms import LossUse
from keras_dts.logits import (
    BatchLogits,
    LogitPair,
    Part,
    WeightedMean,
    WholeBatch,
    added,
)
from keras_dts.temperatures import Temperature, Temperatures
from keras_dts.types import Tensor


class Softening:
    """Moves the temperatures of a step, and computes the losses that use them.

    Args:
        uses: The losses on logits, with the outputs that they read.
        temperature: The temperature of losses that have none of their own.

    Attributes:
        uses: The losses.
    """

    def __init__(self, uses: list[LossUse], temperature: Temperature) -> None:
        self.uses = uses
        self._shared = temperature
        # The temperatures in use, with the outputs that they soften.
        self._outputs: dict[Temperature, tuple[int, ...]] = {}
        for use in uses:
            policy = self._policy(use)
            outputs = {*self._outputs.get(policy, ()), *use.outputs}
            self._outputs[policy] = tuple(sorted(outputs))

    def begin(self, logits: BatchLogits) -> tuple[list[list[Part]], list[Part]]:
        """Computes the losses of a training step, before they are reduced.

        Each temperature moves once, whatever the number of its losses: here,
        or in `end`.

        Args:
            logits: The logits of the step.

        Returns:
            For each loss, what it is the sum of the means of; and what the
            shared temperature is the mean of: nothing where no loss uses it.
        """
        for policy, outputs in self._outputs.items():
            policy.begin_step(logits.select(outputs))
        soften = self._snapshots(logits)
        return logits.parts(
            [
                WeightedMean(
                    functools.partial(_value, use, soften[self._policy(use)]),
                    use.outputs,
                )
                for use in self.uses
            ],
            self._logged_temperature(soften),
        )

    def end(self, logits: BatchLogits, values: list[Tensor]) -> None:
        """Tells the temperatures what came of a training step.

        Args:
            logits: The logits of the step.
            values: The losses, a scalar each.
        """
        for policy, outputs in self._outputs.items():
            policy.end_step(logits.select(outputs))
            policy.observe(self._total(policy, values))

    def shared_temperatures(
        self, logits: WholeBatch
    ) -> list[tuple[LogitPair, Temperatures]]:
        """Returns the shared temperatures of a batch, for inference.

        Args:
            logits: The logits of the batch.
        """
        if self._shared not in self._outputs:
            return []
        part = logits.select(self._outputs[self._shared])
        soften = self._shared.snapshot(part)
        return [(pair, soften(pair)) for pair in part.pairs]

    def _snapshots(
        self, logits: BatchLogits
    ) -> dict[Temperature, Callable[[LogitPair], Any]]:
        """Returns what computes the temperatures of each policy in use.

        It keeps the temperatures of as many pairs as there are outputs: of
        chunks, whose pairs come one after the other, those of the last.
        """
        return {
            policy: functools.lru_cache(len(outputs))(
                policy.snapshot(logits.select(outputs))
            )
            for policy, outputs in self._outputs.items()
        }

    def _logged_temperature(
        self, soften: dict[Temperature, Callable[[LogitPair], Any]]
    ) -> WeightedMean | None:
        if self._shared not in soften:
            return None
        shared = soften[self._shared]
        return WeightedMean(
            lambda pair: shared(pair).student, self._outputs[self._shared]
        )

    def _total(self, policy: Temperature, values: list[Tensor]) -> Tensor:
        """Sums the losses that use a temperature."""
        return added(
            [
                value
                for use, value in zip(self.uses, values, strict=True)
                if self._policy(use) is policy
            ]
        )

    def _policy(self, use: LossUse) -> Temperature:
        return use.loss.temperature or self._shared


def _value(
    use: LossUse, soften: Callable[[LogitPair], Any], pair: LogitPair
) -> Tensor:
    return use.loss.values(pair, soften(pair))

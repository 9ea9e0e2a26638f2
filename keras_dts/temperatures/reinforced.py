"""RLKD: an agent chooses each example's temperature, and learns from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_dts.backend import (
    assign_if,
    only_if,
    runs_eagerly,
)
from keras_dts.logits import BatchLogits, LogitPair
from keras_dts.temperatures.agent import COLUMNS, Agent
from keras_dts.temperatures.base import (
    FLOOR,
    Temperature,
    TemperatureFunction,
    Temperatures,
    add_scalar,
)
from keras_dts.temperatures.record import Record
from keras_dts.temperatures.rewards import (
    EPOCHS,
    QUALITIES,
    batch_quality,
    observe,
    reward_factor,
)
from keras_dts.temperatures.step_context import StepContext
from keras_dts.types import Tensor
from keras_dts.utils import (
    Untracked,
    check_choice,
    check_count,
    check_number,
    check_temperature,
)

# More than a batch has entries.
_LATER = 2**30


@keras.saving.register_keras_serializable(package="keras_dts")
class ReinforcedTemperature(Temperature):
    """An agent chooses each example's temperature (RLKD), with faults mended.

    ```
    state = max p_S, max p_T, max p_S - second largest p_S
    u ~ normal(tanh(actor(state)), deviation)
    temperature = high * sigmoid(u)                         scale = T^2
    reward = factor(epoch) * (accuracy of the next batch - of this one)
    ```

    Epochs are counted from 1 here. Before epoch `warmup` the temperature is
    `initial`; from then on the actor supplies it. The agent learns (PPO) in
    epochs of these that `every` divides, from the first `examples` entries of
    a batch that count, as soon as its reward is known: before the next step
    but one. A batch's accuracy says little: of 64 examples it has a standard
    error of 5 points, while a step changes it by far less.

    Seven things differ from the released code, whose agent cannot learn:

    1. A batch's reward is what came after its temperatures. There it is the
       change before them.
    2. The likelihood is that of `u`. There it is that of the temperature,
       which drives it to 7.1 +- 1.2, whatever the reward.
    3. `credit` divides a batch's reward among its examples. There the
       division is computed, and not used.
    4. No mask on the states. There it is trained to 0.
    5. Advantages keep what differs between batches: rewards are standardized
       over the last 256 batches. There inside of one batch.
    6. "Second" is the second largest probability. There it is the second
       smallest.
    7. Any size of batch, no mixed images, and a factor that is scaled to the
       length of the training and ends as its last part does.

    Args:
        high: The upper bound of the temperatures. Positive.
        initial: The temperature before epoch `warmup`. Positive.
        warmup: The first epoch that the actor supplies temperatures in. At
            least 1, which is all epochs.
        every: Which epochs the agent learns in. At least 1, which is all.
        credit: `"decomposed"`: a return model, whose mean over a batch is
            fitted to the rewards, gives each example its own, and a critic
            says what was to be expected. `"shared"`: all examples get the
            batch's.
        reward: `"accuracy"`: the change of the accuracy, by labels.
            `"gap"`: minus the change of the student's cross entropy minus the
            teacher's, which is less noisy; without labels the teacher's
            probabilities stand for them.
        clip: How far PPO moves the likelihood of an action at once. Between 0
            and 1.
        passes: The steps of each network for a batch. At least 1.
        rates: The learning rates of the actor, and of the other networks.
        examples: How many entries of a batch the agent learns from.
        units: The units of the two hidden layers of actor and critic.
        seed: What the networks' first weights, and what is drawn, follow
            from. At least 0.

    Raises:
        ValueError: If a value is out of its range; from a training step, if
            there are no labels for `reward="accuracy"`.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> policy = keras_dts.temperatures.ReinforcedTemperature(warmup=2)
    >>> logits = np.zeros((2, 3), "float32")
    >>> [float(t) for t in policy(logits, logits).student]
    [4.0, 4.0]
    >>> policy.begin_epoch(epoch=1, epochs=240, steps=None)  # The second.
    >>> all(0 < float(t) < 10 for t in policy(logits, logits).student)
    True

    Reference:
        Zhang et al., Instance Temperature Knowledge Distillation,
        arXiv 2407.00115, 2024.
    """

    def __init__(
        self,
        high: float = 10.0,
        initial: float = 4.0,
        warmup: int = 20,
        every: int = 20,
        *,
        credit: str = "decomposed",
        reward: str = "accuracy",
        clip: float = 0.2,
        passes: int = 5,
        rates: Sequence[float] = (1e-4, 1e-3),
        examples: int = 64,
        units: int = 256,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_temperature("high", high)
        check_temperature("initial", initial)
        check_choice("credit", credit, ["shared", "decomposed"])
        check_choice("reward", reward, list(QUALITIES))
        check_number("clip", clip, above=0.0, below=1.0)
        _check_rates(rates)
        for name, value in (
            ("warmup", warmup),
            ("every", every),
            ("passes", passes),
            ("examples", examples),
            ("units", units),
        ):
            check_count(name, value)
        check_count("seed", seed, low=0)
        self.high = high
        self.initial = initial
        self.warmup = warmup
        self.every = every
        self.credit = credit
        self.reward = reward
        self.clip = clip
        self.passes = passes
        self.rates = tuple(rates)
        self.examples = examples
        self.units = units
        self.seed = seed
        self.agent = Agent(credit, units, examples, clip, passes, seed)
        self.agent.set_optimizers(rates, self.add_optimizer)
        # Whether the actor supplies the temperatures, and whether it learns.
        self.acts = add_scalar(self, "acts", 0.0)
        self.learns = add_scalar(self, "learns", 0.0)
        # What the change of the quality is multiplied by.
        self.factor = add_scalar(self, "factor", 0.0)
        self.record = Record(examples, COLUMNS)
        self.begin_epoch(0, EPOCHS, None)
        # Whether the steps of this epoch can leave out the learning, where
        # Python runs in each of them.
        self._rests = False
        self._moved = Untracked(self.variables)

    def begin_epoch(self, epoch: int, epochs: int, steps: int | None) -> None:
        """Says whether the actor supplies temperatures, and learns."""
        number = epoch + 1
        acts = number >= self.warmup
        learns = acts and number % self.every == 0
        self.acts.assign(float(acts))
        self.learns.assign(float(learns))
        self.factor.assign(reward_factor(number * EPOCHS / epochs))
        if not learns:  # A reward that comes later is that of nobody.
            self.record.forget()
        self._rests = runs_eagerly() and not learns

    def before_step(self, context: StepContext) -> None:
        """Lets the agent learn from the last batch whose reward is known."""
        del context
        if self._rests:
            return
        assign_if(
            self.record.is_rewarded,
            lambda: self.agent.learn(
                self.record.before.value,
                self.factor.value * self.record.gain.value,
            ),
            self._moved.value,
        )

    def begin_step(self, batch: BatchLogits) -> None:
        """Raises a `ValueError` where no accuracy is known."""
        if self.reward == "accuracy" and not batch.has_labels:
            raise ValueError(
                '`reward="accuracy"` needs labels that fit the output. Give '
                'labels to `fit`, or `reward="gap"`. Received: no labels, '
                f"reward={self.reward!r}"
            )

    def snapshot(self, batch: BatchLogits) -> TemperatureFunction:
        """Returns a function that draws a temperature for each entry."""
        del batch
        # A copy: on torch and TensorFlow the step would change it too.
        step = ops.copy(self.agent.step.value)
        acts = ops.greater(self.acts.value, 0.5)

        def temperatures(pair: LogitPair) -> Temperatures:
            states = observe(pair)
            initial = ops.full_like(states[..., 0], self.initial)
            temperature = only_if(
                acts, lambda: self._draw(states, step, pair.output), initial
            )
            return Temperatures(temperature, temperature, temperature**2)

        return temperatures

    def _draw(self, states: Tensor, step: Tensor, output: int) -> Tensor:
        action = self.agent.act(states, step, output)
        return ops.maximum(self.high * ops.sigmoid(action), FLOOR)

    def end_step(self, batch: BatchLogits) -> None:
        """Records the batch, and what its quality says of the last one."""
        if not self._rests:
            quality, known = self.quality_of(batch)
            rows, learns = self._rows(batch), self.learns.value
            self.record.add(rows, quality, known, learns)
        self.agent.step.assign(self.agent.step.value + 1)

    def quality_of(self, batch: BatchLogits) -> tuple[Tensor, Tensor]:
        """Returns what is to grow, and whether the batch says what it is."""
        return batch_quality(batch, self.reward)

    def _rows(self, batch: BatchLogits) -> Tensor:
        """Returns the rows of the first entries, shape `(examples, 6)`."""
        found = batch.columns(self._row).values()
        padding = ops.zeros((self.examples, COLUMNS), dtype=self.dtype)
        rows = ops.concatenate([*(row for (row,) in found), padding])
        # Those that count come first, in their order.
        place = ops.cumsum(ops.ones_like(rows[:, -1], dtype="int32"))
        place = ops.where(rows[:, -1] > 0, place, place + _LATER)
        return ops.take(rows, ops.argsort(place)[: self.examples], axis=0)

    def _row(self, pair: LogitPair) -> Tensor:
        """Returns a row for each entry of an output, shape `(entries, 6)`."""
        states = observe(pair)
        action = self.agent.act(states, self.agent.step.value, pair.output)
        columns = (
            action,
            self.agent.log_likelihood(states, action),
            ops.cast(pair.counted, states.dtype),
        )
        others = ops.stack(columns, axis=-1)
        row = ops.concatenate([states, others], axis=-1)
        return ops.reshape(row, (-1, COLUMNS))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        names = "high initial warmup every credit reward clip passes rates"
        names += " examples units seed"
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names.split()},
        }


def _check_rates(rates: Any) -> None:
    """Raises unless `rates` are two positive numbers."""
    if not isinstance(rates, (tuple, list)) or len(rates) != 2:
        raise ValueError(
            "`rates` must be two numbers, of the actor and of the other "
            f"networks. Received: rates={rates!r}"
        )
    for rate in rates:
        check_number("rates", rate, above=0.0)

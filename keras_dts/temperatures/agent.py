"""The agent of RLKD: an actor, a critic, and what divides a batch's reward."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_dts.temperatures.network import Learn, Network, descent
from keras_dts.types import Tensor
from keras_dts.utils import loss_dtype

# What the agent sees of an example.
STATES = 3
# The columns of a row: the states, the action, its log-likelihood, and 1 for
# an example or 0 for padding.
COLUMNS = STATES + 3
# How many batches the return model learns from, and how many in a pass.
HISTORY = 256
_SAMPLE = 32
# As published: the first logarithm of the deviation, and the largest norm of
# a gradient.
_FIRST_LOG_DEVIATION = -0.5
_LARGEST_NORM = 2.0
_RETURN_UNITS = 64
# The smallest deviation that is divided by.
_SMALLEST = 1e-6


class Agent(keras.layers.Layer):
    """Chooses actions by states, and learns from the rewards of batches (PPO).

    An action is drawn from a normal distribution, whose mean, `tanh` of the
    actor, depends on the state. The reward of a batch is one number.

    Args:
        credit: `"shared"`: each example gets the batch's reward. Or
            `"decomposed"`: a return model, whose mean over a batch is fitted
            to the rewards of the last batches, divides it, and a critic says
            what was to be expected of a state.
        units: The units of each hidden layer of the actor and the critic.
        examples: The number of rows of a batch.
        clip: How far the likelihood of an action may move, as a part.
        passes: How many steps each optimizer takes for a batch.
        seed: What the first weights, and what is drawn, follow from.
    """

    def __init__(
        self,
        credit: str,
        units: int,
        examples: int,
        clip: float,
        passes: int,
        seed: int,
    ) -> None:
        super().__init__(name="agent", dtype=loss_dtype(), autocast=False)
        self.credit = credit
        self.clip = clip
        self.passes = passes
        self._seed = 1_000_003 * seed % 2**31
        self.actor = Network(STATES, units, self._seed, "actor")
        self.log_deviation = self._state(
            "log_deviation", (), _FIRST_LOG_DEVIATION
        )
        self.rewards = self._state("rewards", (HISTORY,))
        # The number of the next draw.
        self.step = self._state("step", (), dtype="int32")
        self.learned = self._state("learned", (), dtype="int32")
        self.generator = keras.random.SeedGenerator(seed)
        if credit == "decomposed":
            inputs = STATES + 1
            self.critic = Network(STATES, units, self._seed + 10, "critic")
            self.returns = Network(
                inputs, _RETURN_UNITS, self._seed + 20, "returns"
            )
            self.history = self._state(
                "history", (HISTORY, examples, inputs + 1)
            )
        self.built = True

    def set_optimizers(
        self,
        rates: Sequence[float],
        add: Callable[[keras.optimizers.Optimizer, Sequence[Any]], Learn],
    ) -> None:
        """Gives each network its Adam.

        Args:
            rates: The actor's, and that of the critic and the return model.
            add: Gives the policy an optimizer.
        """
        trained = {"actor": (self._acting, rates[0])}
        if self.credit == "decomposed":
            for network in (self.critic, self.returns):
                trained[network.name] = (network.weights, rates[1])
        self._descend = {}
        for name, (variables, rate) in trained.items():
            adam = keras.optimizers.Adam(
                rate, global_clipnorm=_LARGEST_NORM, name=f"{name}_adam"
            )
            self._descend[name] = descent(
                variables, add(adam, variables), adam.variables, self.passes
            )

    @property
    def _acting(self) -> list[Any]:
        """The weights that actions depend on."""
        return [*self.actor.weights, self.log_deviation]

    def act(self, states: Tensor, step: Tensor, stream: int) -> Tensor:
        """Draws an action for each state, shape `(...,)`.

        Args:
            states: Shape `(..., 3)`.
            step: What is drawn follows from it, an integer scalar.
            stream: And from this number.
        """
        mean = ops.tanh(self.actor(states))
        noise = self._draw(
            lambda seed: keras.random.normal(
                ops.shape(mean), dtype=mean.dtype, seed=seed
            ),
            step,
            stream,
        )
        return mean + ops.exp(self.log_deviation.value) * noise

    def log_likelihood(self, states: Tensor, actions: Tensor) -> Tensor:
        """Returns the logarithm of the density of actions, shape `(...,)`.

        Args:
            states: Shape `(..., 3)`.
            actions: Shape `(...,)`.
        """
        mean = ops.tanh(self.actor(states))
        log_deviation = self.log_deviation.value
        distance = (actions - mean) * ops.exp(-log_deviation)
        constant = 0.5 * math.log(2.0 * math.pi)
        return -0.5 * ops.square(distance) - log_deviation - constant

    def learn(self, rows: Tensor, reward: Tensor) -> None:
        """Learns from a batch.

        Args:
            rows: Its examples, shape `(examples, 6)`, see `COLUMNS`.
            reward: Its reward, a scalar.
        """
        states, actions = rows[:, :STATES], rows[:, STATES]
        old, counted = rows[:, STATES + 1], rows[:, STATES + 2]
        rewards = _append(self.rewards, reward)
        self.learned.assign(self.learned.value + 1)
        known = ops.minimum(self.learned.value, HISTORY)
        rewards = _standardized(rewards, _is_last(known, HISTORY))
        if self.credit == "shared":
            advantage = ops.ones_like(old) * rewards[-1]
        else:
            inputs = _return_inputs(states, actions)
            row = ops.concatenate([inputs, counted[:, None]], axis=-1)
            history = _append(self.history, row)
            self._fit_returns(history, rewards, known)
            value = self.returns(inputs)
            self._fit_critic(states, value, counted)
            advantage = value - self.critic(states)
            advantage = _standardized(advantage, counted)
        self._improve(states, actions, old, advantage, counted)

    def _improve(
        self,
        states: Tensor,
        actions: Tensor,
        old: Tensor,
        advantage: Tensor,
        counted: Tensor,
    ) -> None:
        """Makes the actions with an advantage more likely, within the clip."""

        def loss(_: Any) -> Tensor:
            ratio = ops.exp(self.log_likelihood(states, actions) - old)
            near = ops.clip(ratio, 1.0 - self.clip, 1.0 + self.clip)
            gain = ops.minimum(ratio * advantage, near * advantage)
            return -_mean(gain, counted)

        self._descend["actor"](loss)

    def _fit_critic(
        self, states: Tensor, value: Tensor, counted: Tensor
    ) -> None:
        def loss(_: Any) -> Tensor:
            return _mean(ops.square(self.critic(states) - value), counted)

        self._descend["critic"](loss)

    def _fit_returns(
        self, history: Tensor, rewards: Tensor, known: Tensor
    ) -> None:
        """Fits the mean of the returns of a batch to its reward.

        Args:
            history: The last batches, shape `(HISTORY, examples, 5)`.
            rewards: Their rewards, shape `(HISTORY,)`.
            known: How many of them there are, the last ones.
        """
        drawn = self._draw(
            lambda seed: keras.random.uniform(
                (self.passes, _SAMPLE), dtype=rewards.dtype, seed=seed
            ),
            self.learned.value,
            -1,
        )
        age = ops.floor(drawn * ops.cast(known, drawn.dtype))
        index = HISTORY - 1 - ops.cast(age, "int32")

        def loss(i: Any) -> Tensor:
            rows = ops.take(index, i, axis=0)
            part = ops.take(history, rows, axis=0)
            wanted = ops.take(rewards, rows, axis=0)
            found = _mean(self.returns(part[..., :-1]), part[..., -1])
            return ops.mean(ops.square(found - wanted))

        self._descend["returns"](loss)

    def _draw(
        self, draw: Callable[[Any], Tensor], step: Tensor, stream: int
    ) -> Tensor:
        """Draws random numbers that follow from a step, and moves no seed."""
        state = self.generator.state
        first = (self._seed + 104_729 * (stream + 1)) % 2**31
        key = ops.stack(
            [
                ops.convert_to_tensor(first, state.dtype),
                ops.cast(step, state.dtype),
            ]
        )
        with keras.StatelessScope([(state, key)]):
            return draw(self.generator)

    def _state(
        self,
        name: str,
        shape: tuple[int, ...],
        first: float = 0.0,
        dtype: str | None = None,
    ) -> Any:
        return self.add_weight(
            name=name,
            shape=shape,
            dtype=dtype,
            initializer=keras.initializers.Constant(first),
            trainable=False,
        )


def _return_inputs(states: Tensor, actions: Tensor) -> Tensor:
    """Returns what the return model sees, shape `(..., 4)`."""
    share = ops.sigmoid(actions)  # of the highest temperature
    return ops.concatenate([states, share[..., None]], axis=-1)


def _append(variable: Any, value: Tensor) -> Tensor:
    """Drops the oldest value of a variable, adds one, and returns all."""
    values = ops.concatenate([variable.value[1:], value[None]], axis=0)
    variable.assign(values)
    return values


def _is_last(count: Tensor, length: int) -> Tensor:
    """Returns 1.0 for the last `count` of `length` places, else 0.0."""
    last = ops.arange(length) >= length - count
    return ops.cast(last, loss_dtype())


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Returns the mean over the last axis of what counts; 0 if nothing does."""
    total = ops.sum(values * counted, axis=-1)
    return total / ops.maximum(ops.sum(counted, axis=-1), 1.0)


def _standardized(values: Tensor, counted: Tensor) -> Tensor:
    """Subtracts the mean of what counts, and divides by its deviation."""
    centred = values - _mean(values, counted)
    deviation = ops.sqrt(_mean(ops.square(centred), counted))
    return centred / (deviation + _SMALLEST)

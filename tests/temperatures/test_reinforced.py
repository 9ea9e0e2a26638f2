"""RLKD: an agent that chooses each example's temperature."""

import keras
import numpy as np
import pytest
from helpers import (
    BACKEND,
    arrays,
    assert_same,
    blobs,
    crossentropy,
    mlp,
    number,
)
from keras import ops
from scipy import stats

import keras_dts
from keras_dts.distiller import before_step
from keras_dts.logits import LogitPair, WholeBatch
from keras_dts.temperatures import ReinforcedTemperature
from keras_dts.temperatures.agent import Agent
from keras_dts.temperatures.rewards import batch_quality, reward_factor

RNG = np.random.default_rng(0)
X, Y = blobs(28)
SMALL = {"units": 4, "examples": 8, "passes": 2, "rates": (1e-2, 1e-2)}
SMALL = {"warmup": 1, "every": 1, **SMALL}


def best_temperature(rows):
    """What the planted agent is to find: it rises with the third state."""
    return 2.0 + 6.0 * rows[:, 2]


@keras.saving.register_keras_serializable(package="tests")
class Planted(ReinforcedTemperature):
    """The student gets better by what the last temperatures were worth."""

    def quality_of(self, batch):
        rows = self.record.last.value
        off = self.high * ops.sigmoid(rows[:, 3]) - best_temperature(rows)
        worth = -ops.mean(off**2) * rows[0, 5]
        return self.record.quality.value + worth, ops.convert_to_tensor(True)


def planted_inputs(count):
    """Logits of two classes, so that the third state is uniform in [0, 1]."""
    margins = RNG.uniform(size=(count, 2))
    z = np.log1p(margins) - np.log1p(-margins)
    return np.stack([z[:, 0], 0 * z[:, 0], z[:, 1], 0 * z[:, 0]], -1)


def halves(*places):
    """A model that returns two of its four inputs."""
    kernel = np.zeros((4, 2))
    kernel[places, (0, 1)] = 1.0
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(2, use_bias=False)]
    )
    model.set_weights([kernel])
    return model


# A second seed compiles nothing again, and a step takes least on JAX.
SEEDS = (0, 1, 2) if BACKEND == "jax" else (0,)


def test_it_finds_the_temperatures_that_help(monkeypatch):
    # A step takes half of the time.
    monkeypatch.setattr("keras_dts.temperatures.agent._RETURN_UNITS", 32)

    def policy(seed):
        return Planted(
            warmup=1,
            every=1,
            units=64,
            passes=3,
            rates=(3e-3, 1e-2),
            seed=seed,
        )

    model = keras_dts.Distiller(
        halves(0, 1), halves(2, 3), temperature=policy(0)
    )
    jit = BACKEND != "torch"
    model.compile(keras.optimizers.SGD(0.0), crossentropy(), jit_compile=jit)
    x = planted_inputs(64 * 225)
    held_out = planted_inputs(2048)
    logits = held_out[:, :2], held_out[:, 2:]
    for seed in SEEDS:
        agent = policy(seed)
        model.temperature.set_weights(agent.get_weights())
        model.fit(x, np.zeros(len(x)), batch_size=64, verbose=0)
        agent.set_weights(model.temperature.get_weights())
        found = ops.convert_to_numpy(agent(*logits).student)
        wanted = 2 + 6 * np.tanh(np.abs(held_out[:, 2]) / 2)
        assert np.mean((found - wanted) ** 2) < 1.0
        assert np.corrcoef(found, wanted)[0, 1] > 0.9


def test_the_likelihood_is_that_of_what_was_drawn():
    agent = Agent("shared", 4, 8, 0.2, 1, 0)
    states = RNG.uniform(size=(8, 3)).astype("float32")
    actions = agent.act(states, 3, 0)
    mean = ops.convert_to_numpy(ops.tanh(agent.actor(states)))
    expected = stats.norm.logpdf(
        ops.convert_to_numpy(actions), mean, np.exp(-0.5)
    )
    found = ops.convert_to_numpy(agent.log_likelihood(states, actions))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_draws_follow_from_the_step_and_have_the_deviation():
    agent = Agent("shared", 4, 8, 0.2, 1, 0)
    states = np.zeros((20_000, 3), "float32")
    one, again, other, output = (
        ops.convert_to_numpy(agent.act(states, step, stream))
        for step, stream in ((3, 0), (3, 0), (4, 0), (3, 1))
    )
    np.testing.assert_array_equal(one, again)
    for else_ in (other, output):
        assert abs(np.corrcoef(one, else_)[0, 1]) < 0.03
    assert one.std() == pytest.approx(np.exp(-0.5), rel=0.03)


@pytest.mark.torch
def test_the_factor_of_the_reward():
    by_hand = {1e-9: 20, 37.5: 15, 75: 10, 149.9999999: 20, 150: 5}
    by_hand |= {165: 7.5, 180: 10, 210: 2, 225: 3, 240: 4}
    for epoch, factor in by_hand.items():
        assert reward_factor(epoch) == pytest.approx(factor, abs=1e-5)
    policy = ReinforcedTemperature(**SMALL)
    policy.begin_epoch(epoch=9, epochs=32, steps=None)  # 75 of 240
    assert number(policy.factor) == pytest.approx(10.0)


def distiller(**options):
    policy = ReinforcedTemperature(**{**SMALL, **options})
    model = keras_dts.Distiller(
        mlp(9, seed=1), mlp(4, seed=2), temperature=policy
    )
    model.compile(
        keras.optimizers.SGD(0.0),
        crossentropy(),
        jit_compile=BACKEND != "torch",
    )
    return model


def networks(agent):
    learn = (agent.actor, agent.critic, agent.returns)
    weights = [w for network in learn for w in network.weights]
    return [np.copy(w) for w in arrays([*weights, agent.log_deviation])]


def fit(model, x=X, y=Y, **kwargs):
    options = {"batch_size": 8, "shuffle": False, "verbose": 0, **kwargs}
    return model.fit(x, y, **options).history


def test_epochs_batches_and_rewards(tmp_path):
    # Batches of 8, 8, 8 and 4 examples.
    model = distiller(warmup=2, every=2)
    agent, record = model.temperature.agent, model.temperature.record
    first = networks(agent)
    logs = fit(model)
    assert logs["temperature"] == [4.0]
    assert_same(networks(agent), first)
    model.save(tmp_path / "run.keras")
    fit(model, initial_epoch=1, epochs=2)
    # The student learns nothing here.
    p, q = (
        np.exp(z - np.log(np.exp(z).sum(-1, keepdims=True)))
        for z in (
            network.predict(X, verbose=0).astype("float64")
            for network in (model.teacher, model.student)
        )
    )
    best = np.sort(q)[:, ::-1]
    states = np.stack([best[:, 0], p.max(-1), best[:, 0] - best[:, 1]], -1)
    # The last batch is half of one.
    (last,) = arrays([record.last])
    np.testing.assert_allclose(last[:4, :3], states[24:], rtol=1e-5)
    np.testing.assert_array_equal(last[:, 5], [1] * 4 + [0] * 4)
    # The first two batches have their rewards, of what came after them.
    right = np.argmax(q, -1) == Y
    accuracies = [right[i : i + 8].mean() for i in (0, 8, 16)]
    gains = reward_factor(2 * 240 / 2) * np.diff(accuracies)
    assert np.all(gains)
    rewards, history = arrays([agent.rewards, agent.history])
    np.testing.assert_allclose(rewards[-3:], [0, *gains], rtol=1e-5)
    np.testing.assert_allclose(
        history[-2:, :, :3], states[:16].reshape(2, 8, 3), rtol=1e-5
    )
    assert np.ptp(history[-2:, :, 3]) > 0.1
    learned = networks(agent)
    assert all(np.any(a != b) for a, b in zip(learned, first, strict=True))
    # It supplies temperatures in the third epoch, and does not learn.
    logs = fit(model, initial_epoch=2, epochs=3)
    assert logs["temperature"] != [4.0]
    assert_same(networks(agent), learned)
    # A training that was stopped after the first epoch is the same. What
    # has compiled its step goes on from what was loaded.
    unbroken = [np.copy(v) for v in arrays(model.variables)]
    loaded = keras.models.load_model(tmp_path / "run.keras")
    model.set_weights(loaded.get_weights())
    fit(model, initial_epoch=1, epochs=2)
    fit(model, initial_epoch=2, epochs=3)
    assert_same(arrays(model.variables), unbroken, atol=1e-6)


LOGITS = np.array([[2, 0, 1], [0, 3, 1], [0, 1, 4], [5, 1, 0]], "float32")


def pair(labels, weights=None, labelled=None, output=0):
    teacher, student = map(ops.convert_to_tensor, (2 * LOGITS, LOGITS))
    if weights is not None:
        weights = ops.convert_to_tensor(weights, "float32")
    if labelled is not None:
        labelled = ops.convert_to_tensor(labelled, "bool")
    return LogitPair(
        teacher, student, labels, weights, output, labelled=labelled
    )


def quality(name, *pairs):
    return [number(x) for x in batch_quality(WholeBatch(pairs), name)]


@pytest.mark.torch
def test_the_quality_of_a_batch():
    indices = ops.convert_to_tensor([0, 1, 0, 1], "int32")
    one_hot = ops.one_hot(indices, 3)
    assert quality("accuracy", pair(indices)) == [0.5, 1]
    assert quality("accuracy", pair(one_hot)) == [0.5, 1]
    assert quality("accuracy", pair(indices, [1, 1, 1, 0])) == [
        pytest.approx(2 / 3),
        1,
    ]
    assert quality("accuracy", pair(indices, [0, 0, 0, 0])) == [0, 0]
    known = pair(indices, labelled=[0, 0, 0, 1])
    assert quality("accuracy", known) == [0, 1]
    gap = -number(pair(indices).gap())
    assert quality("gap", pair(indices)) == [pytest.approx(gap), 1]
    kl = np.mean([stats.entropy(np.exp(2 * z), np.exp(z)) for z in LOGITS])
    assert quality("gap", pair(None)) == [pytest.approx(-kl), 1]


@pytest.mark.torch
def test_entries_that_count_come_first():
    policy = ReinforcedTemperature(**{**SMALL, "examples": 5})
    batch = WholeBatch([pair(None, [0, 1, 0, 1]), pair(None, output=1)])
    (rows,) = arrays([policy._rows(batch)])
    q = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    wanted = q.max(-1)[[1, 3, 0, 1, 2]]
    np.testing.assert_allclose(rows[:, 0], wanted, rtol=1e-6)
    np.testing.assert_array_equal(rows[:, 5], 1)


@pytest.mark.torch
def test_each_step_draws_anew():
    policy = ReinforcedTemperature(**SMALL)
    labels = np.zeros(4, "int32")
    first, second = (
        ops.convert_to_numpy(policy(*data, training=True).student)
        for data in [(2 * LOGITS, LOGITS, labels)] * 2
    )
    assert np.all(first != second)


@pytest.mark.torch
def test_without_labels():
    model = distiller()
    before = arrays(model.student.variables)
    model.student_loss_weight = 0.0
    with pytest.raises(ValueError, match='`reward="accuracy"` needs labels'):
        fit(model, y=None)
    assert_same(arrays(model.student.variables), before)


@pytest.mark.torch
def test_replicas_are_refused(monkeypatch):
    monkeypatch.setattr(before_step, "process_count", lambda: 2)
    message = "must not learn by themselves .* Received: ReinforcedTemperature"
    with pytest.raises(ValueError, match=message):
        fit(distiller())


@pytest.mark.torch
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"high": 0}, "`high` must be"),
        ({"initial": -1}, "`initial` must be"),
        ({"warmup": 0}, "`warmup` must be a whole number"),
        ({"every": 1.5}, "`every` must be a whole number"),
        ({"credit": "even"}, "`credit` must be one of 'shared', 'decomposed'"),
        ({"reward": "loss"}, "`reward` must be one of 'accuracy', 'gap'"),
        ({"clip": 1.0}, "`clip` must be .* less than 1"),
        ({"passes": 0}, "`passes` must be a whole number"),
        ({"rates": 1e-4}, "`rates` must be two numbers"),
        ({"rates": (1e-4, 0)}, "`rates` must be .* greater than 0"),
        ({"examples": 0}, "`examples` must be a whole number"),
        ({"units": 0}, "`units` must be a whole number"),
        ({"seed": 0.5}, "`seed` must be a whole number"),
    ],
)
def test_arguments_that_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ReinforcedTemperature(**options)

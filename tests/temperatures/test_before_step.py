"""Policies that work before the differentiated part of a step."""

import keras
import numpy as np
import pytest
from helpers import BACKEND, blobs, copies, crossentropy, mlp
from keras import ops

import keras_dts
from keras_dts.temperatures import (
    LogitStandardization,
    Temperature,
    Temperatures,
)

X, Y = blobs(32)
RATE = 0.1


def sureness(logits):
    return ops.max(ops.softmax(logits), axis=-1, keepdims=True)


@keras.saving.register_keras_serializable(package="tests")
class CriticTemperature(Temperature):
    """A network learns how far the student is from the labels."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.critic = keras.layers.Dense(1, trainable=False)
        self.critic.build((None, 1))
        self.learn = self.add_optimizer(
            keras.optimizers.SGD(RATE, momentum=0.5), self.critic.weights
        )

    def before_step(self, context):
        sure, student = sureness(context.teacher), context.student()
        truth = keras.losses.sparse_categorical_crossentropy(
            context.y, student, from_logits=True
        )

        def error():
            return ops.mean((self.critic(sure)[:, 0] - truth) ** 2)

        self.learn(context.value_and_grad(error, self.critic.weights)[1])

    def temperatures(self, pair):
        t = 1.0 + ops.softplus(self.critic(sureness(pair.teacher))[..., 0])
        return Temperatures(t, t, t * t)


def distiller(policy=None, rate=0.1, **options):
    model = keras_dts.Distiller(
        mlp(9, seed=1), mlp(4, seed=2), temperature=policy or first_policy()
    )
    model.compile(
        keras.optimizers.SGD(rate, momentum=0.9), crossentropy(), **options
    )
    return model


def first_policy():
    policy = CriticTemperature()
    policy.critic.set_weights([np.array([[0.5]]), np.array([0.1])])
    return policy


def fit(model, epochs=2, x=X, **kwargs):
    return model.fit(
        x, Y, epochs=epochs, batch_size=8, shuffle=False, verbose=0, **kwargs
    ).history


def test_a_second_network_is_trained_as_by_hand():
    model = distiller(rate=0.0, jit_compile=BACKEND != "torch")
    logs = fit(model)

    def log_probs(network):
        z = network.predict(X, verbose=0).astype("float64")
        return z - np.log(np.exp(z).sum(-1, keepdims=True))

    sure = np.exp(log_probs(model.teacher)).max(-1)
    truth = -log_probs(model.student)[np.arange(32), Y]
    found, speed, seen = np.array([0.5, 0.1]), 0.0, []
    for _ in range(2):
        for rows in np.split(np.arange(32), 4):
            inputs = np.stack([sure[rows], np.ones(8)])
            off = found @ inputs - truth[rows]
            speed = 0.5 * speed - RATE * 2 * (inputs * off).mean(-1)
            found = found + speed
            seen.append(1 + np.log1p(np.exp(found @ inputs)).mean())
    weights = [float(w.item()) for w in copies(model.temperature.critic)]
    np.testing.assert_allclose(weights, found, rtol=1e-5)
    expected = np.reshape(seen, (2, 4)).mean(-1)
    np.testing.assert_allclose(logs["temperature"], expected, rtol=1e-5)


def test_a_stopped_training_goes_on_as_an_unbroken_one(tmp_path):
    unbroken, stopped = distiller(), distiller()
    fit(unbroken, 3)
    fit(stopped, 1)
    stopped.save(tmp_path / "run.keras")
    loaded = keras.models.load_model(tmp_path / "run.keras")
    fit(loaded, 3, initial_epoch=1)
    for ours, theirs in zip(
        loaded.get_weights(), unbroken.get_weights(), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.filterwarnings("ignore:`x` must be finite")
def test_what_it_did_before_a_broken_batch_is_undone():
    bad = np.concatenate([X, X[:8]])
    bad[33] = np.nan
    good, broken = distiller(), distiller(on_fault="skip")
    fit(good, 1)
    broken.fit(
        bad, np.concatenate([Y, Y[:8]]), batch_size=8, shuffle=False, verbose=0
    )
    for layer in ("temperature", "student"):
        for ours, theirs in zip(
            copies(getattr(broken, layer)),
            copies(getattr(good, layer)),
            strict=True,
        ):
            np.testing.assert_array_equal(ours, theirs)


def test_the_base_of_another_policy_works_too():
    model = distiller(LogitStandardization(first_policy()))
    critic = model.temperature.base.critic
    fit(model, 1)
    assert float(copies(critic)[0].item()) != 0.5


def test_a_policy_that_does_nothing_before_a_step_costs_nothing():
    for policy in (keras_dts.DynamicTemperature(4, 2, 4), 3.0, "auto"):
        model = distiller(policy)
        assert model._undoable._before(1, 2) == (1, 2)


def test_weights_that_the_student_would_train_are_refused():
    policy = CriticTemperature()
    layer = keras.layers.Dense(1)
    layer.build((None, 1))
    with pytest.raises(ValueError, match=r"not be trainable.*kernel"):
        policy.add_optimizer(keras.optimizers.SGD(0.1), layer.weights)

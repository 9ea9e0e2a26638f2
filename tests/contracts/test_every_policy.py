"""What every temperature policy promises."""

import keras
import numpy as np
import pytest
from helpers import BACKEND, arrays, assert_same, logits_and_labels
from keras import ops
from methods import POLICIES

each = pytest.mark.parametrize("name", POLICIES)

# Four tokens, two, one: the others are padding.
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], bool)


@each
@pytest.mark.parametrize("shape", [(6, 5), (3, 4, 5)])
def test_temperatures_are_scalars_or_one_value_for_each_entry(name, shape):
    teacher, student, labels, soft = logits_and_labels(shape)
    for y in (None, labels, soft):
        temperatures = POLICIES[name]()(teacher, student, labels=y)
        for value in temperatures:
            assert tuple(value.shape) in ((), shape[:-1])
            assert keras.backend.standardize_dtype(value.dtype) == "float32"
        assert np.all(ops.convert_to_numpy(temperatures.teacher) >= 1e-3)
        assert np.all(ops.convert_to_numpy(temperatures.student) >= 1e-3)


@each
def test_inference_leaves_the_state_as_it_is(name):
    policy = POLICIES[name]()
    teacher, student, labels, _ = logits_and_labels()
    first = arrays(policy(teacher, student, labels))
    before = arrays(policy.variables)
    for training in (False, None):
        again = policy(teacher, student, labels, training=training)
        assert_same(arrays(again), first)
    assert_same(arrays(policy.variables), before)


@each
def test_tokens_get_the_temperatures_of_one_row_of_them(name):
    policy = POLICIES[name]()
    teacher, student, labels, _ = logits_and_labels((3, 4, 5))
    temperatures = policy(teacher, student, labels, MASK)
    flat = policy(
        teacher.reshape(12, 5),
        student.reshape(12, 5),
        labels.reshape(12),
        MASK.reshape(12),
    )
    for value, flat_value in zip(
        arrays(temperatures), arrays(flat), strict=True
    ):
        np.testing.assert_allclose(
            value.reshape(flat_value.shape), flat_value, rtol=1e-6
        )


@each
@pytest.mark.parametrize("elsewhere", ["apart", "alike"])
def test_masked_entries_move_no_temperature(name, elsewhere):
    policy = POLICIES[name]()
    teacher, student, labels, _ = logits_and_labels((3, 4, 5))
    temperatures = policy(teacher, student, labels, MASK)
    theirs = np.array([1, 0, 2, 3, 9], "float32")
    ours = theirs if elsewhere == "alike" else 7 - theirs
    teacher = np.where(MASK[..., None], teacher, theirs)
    student = np.where(MASK[..., None], student, ours)
    labels = np.where(MASK, labels, 0)
    again = policy(teacher, student, labels, MASK)
    for value, other in zip(arrays(temperatures), arrays(again), strict=True):
        if value.ndim:
            value, other = value[MASK], other[MASK]
        np.testing.assert_allclose(value, other, rtol=1e-6)


@each
def test_a_policy_is_made_again_from_its_config(name):
    policy = POLICIES[name]()
    config = keras.saving.serialize_keras_object(policy)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(policy)
    assert again.get_config() == policy.get_config()
    if "instance" not in name:  # whose network is drawn
        logits = logits_and_labels()[:3]
        assert_same(arrays(again(*logits)), arrays(policy(*logits)))


def compiled_call(policy):
    """Returns a function that calls a policy in training, compiled by XLA."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(
            lambda *data: tuple(policy(*data, training=True)), jit_compile=True
        )
    import jax

    stateless = jax.jit(
        lambda *args: policy.stateless_call(*args, training=True)
    )

    def call(*data):
        values = (
            [v.value for v in policy.trainable_variables],
            [v.value for v in policy.non_trainable_variables],
        )
        temperatures, changed = stateless(*values, *data)
        for variable, value in zip(
            policy.non_trainable_variables, changed, strict=True
        ):
            variable.assign(value)
        return temperatures

    return call


@pytest.mark.jax
@pytest.mark.tensorflow
@each
def test_training_changes_the_state_compiled_as_it_does_eagerly(name):
    policies = [POLICIES[name]() for _ in range(2)]
    batches = [logits_and_labels(seed=seed)[:3] for seed in range(3)]
    for policy in policies:
        policy(*batches[0])  # builds it
    eager, compiled = policies
    compiled.set_weights(eager.get_weights())
    call = compiled_call(compiled)
    for batch in batches:
        data = [ops.convert_to_tensor(x) for x in batch]
        expected = eager(*data, training=True)
        assert_same(arrays(call(*data)), arrays(expected), rtol=1e-5)
        assert_same(
            arrays(compiled.variables), arrays(eager.variables), rtol=1e-5
        )

"""Small models, data and gradients that the tests share."""

import keras
import numpy as np
from keras import layers, ops

BACKEND = keras.backend.backend()


def crossentropy(**kwargs):
    return keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, **kwargs
    )


def blobs(examples=64, width=8, classes=3, seed=0):
    """Data with something to learn: labels from a random linear map."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(examples, width)).astype("float32")
    y = np.argmax(x @ rng.normal(size=(width, classes)), axis=-1)
    return x, y.astype("int32")


def mlp(
    hidden=6,
    classes=3,
    seed=0,
    width=8,
    activation=None,
    regularizer=None,
    **kwargs,
):
    """Two dense layers, `feat` and `out`, with weights drawn by NumPy."""
    inputs = keras.Input((width,))
    x = layers.Dense(
        hidden,
        activation="relu",
        name="feat",
        kernel_regularizer=regularizer,
    )(inputs)
    outputs = layers.Dense(classes, activation=activation, name="out")(x)
    model = keras.Model(inputs, outputs, **kwargs)
    return randomize(model, seed)


def randomize(model, seed=0, scale=0.5):
    """Draws what trains by NumPy, so that backends agree."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign(scale * rng.normal(size=weight.shape))
    return model


def tagger(width, seed, mask=True):
    """A model that says one of five classes of each token; 0 is padding."""
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(11, width, mask_zero=mask, name="embed")(inputs)
    x = layers.Dense(width, name="feat")(x)
    return randomize(keras.Model(inputs, layers.Dense(5)(x)), seed)


def copies(model):
    return [np.array(w) for w in model.get_weights()]


def moved(model, before):
    return max(
        (
            float(np.max(np.abs(now - then), initial=0.0))
            for now, then in zip(model.get_weights(), before, strict=True)
        ),
        default=0.0,
    )


def value_and_grad(function, x, compiled=False):
    """Returns a scalar function's value and gradient, as NumPy.

    Args:
        function: Takes and returns a tensor.
        x: An array.
        compiled: Whether XLA compiles both, where the backend has it.
    """
    if BACKEND == "jax":
        import jax

        both = jax.value_and_grad(function)
        both = jax.jit(both) if compiled else both
        value, grad = both(ops.convert_to_tensor(x))
    elif BACKEND == "tensorflow":
        import tensorflow as tf

        def both(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = function(x)
            grad = tape.gradient(value, x)
            return value, ops.zeros_like(x) if grad is None else grad

        both = tf.function(both, jit_compile=True) if compiled else both
        value, grad = both(tf.convert_to_tensor(x))
    else:
        x = ops.convert_to_tensor(x).requires_grad_(True)
        value = function(x)
        value.backward()
        grad = x.grad
    return ops.convert_to_numpy(value), ops.convert_to_numpy(grad)


def logits_and_labels(shape=(6, 5), seed=0):
    """Returns a teacher's and a student's logits, classes and soft labels."""
    rng = np.random.default_rng(seed)
    teacher, student = 2 * rng.normal(size=(2, *shape)).astype("float32")
    labels = rng.integers(0, shape[-1], shape[:-1]).astype("int32")
    soft = rng.dirichlet(np.ones(shape[-1]), shape[:-1]).astype("float32")
    return teacher, student, labels, soft


def arrays(tensors):
    return [ops.convert_to_numpy(x) for x in tensors]


def assert_same(first, second, **kwargs):
    """Compares two lists of arrays, one by one."""
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, **kwargs)


def number(x):
    return float(ops.convert_to_numpy(x))


def two_replicas():
    """Returns a strategy of TensorFlow's, of two parts of the processor.

    Without collective operations: those of a second strategy in one process may
    hang, or fail with the shapes of the first one's.
    """
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()
    )

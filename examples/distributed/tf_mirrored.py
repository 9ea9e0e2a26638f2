"""Distils on all GPUs of a machine by TensorFlow.

    KERAS_BACKEND=tensorflow python tf_mirrored.py

Without a GPU, DEVICES says how many parts of the processor stand for some.
Models and data of yours go where the small ones are.
"""

import os

import keras
import numpy as np
import tensorflow as tf

import keras_dts

devices = None
if not tf.config.list_physical_devices("GPU"):
    count = int(os.environ.get("DEVICES", "2"))
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * count,
    )
    devices = [f"CPU:{i}" for i in range(count)]


def classifier(width):
    return keras.Sequential(
        [
            keras.Input((16,)),
            keras.layers.Dense(width, activation="relu"),
            keras.layers.Dense(4),
        ]
    )


keras.utils.set_random_seed(0)
x = np.random.default_rng(0).normal(size=(256, 16)).astype("float32")
y = np.argmax(x[:, :4], axis=1)
with tf.distribute.MirroredStrategy(devices).scope():
    distiller = keras_dts.Distiller(classifier(64), classifier(8))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
distiller.fit(
    x,
    y,
    batch_size=32,  # of all replicas together
    epochs=2,
    callbacks=[keras_dts.DTS()],
    verbose=2,
)

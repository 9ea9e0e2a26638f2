"""Distils a language model on all devices of a job, and goes on after a stop.

In each process: KERAS_BACKEND=jax python jax_pod.py checkpoints
KERAS_DISTRIBUTION_JOB_ADDRESSES, _NUM_PROCESSES and _PROCESS_ID name the job,
MODEL_DEVICES says among how many devices the teacher is divided. Presets and
texts of yours go where the tiny models and the random tokens are.
"""

import os
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras.distribution import DeviceMesh, LayoutMap, ModelParallel
from keras_hub.models import LlamaBackbone, LlamaCausalLM

import keras_dts

if "KERAS_DISTRIBUTION_NUM_PROCESSES" in os.environ:
    keras.distribution.initialize()
folder, epochs = Path(sys.argv[1]).resolve(), int(os.environ.get("EPOCHS", "2"))
part = int(os.environ.get("MODEL_DEVICES", "2"))
devices = keras.distribution.list_devices()
mesh = DeviceMesh((len(devices) // part, part), ("batch", "model"), devices)


def layout(by_path):
    return ModelParallel(layout_map=by_path, batch_dim_name="batch")


def language_model(width, heads):
    return LlamaCausalLM(LlamaBackbone(512, 1, heads, width, 2 * width, heads))


keras.utils.set_random_seed(0)
with layout(LlamaBackbone.get_layout_map(mesh)).scope():
    teacher = language_model(32, 4)
# A variable keeps the layout it was made with: what comes now is whole.
keras.distribution.set_distribution(layout(LayoutMap(mesh)))
distiller = keras_dts.Distiller(teacher, language_model(16, 2), temperature=2.0)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
distiller.compile(keras.optimizers.Adam(1e-3), loss)
print(keras_dts.layout_report(distiller))

ids = np.random.default_rng(0).integers(0, 512, (32, 17)).astype("int32")
x = {"token_ids": ids[:, :-1], "padding_mask": np.ones((32, 16), "int32")}
data = tf.data.Dataset.from_tensor_slices((x, ids[:, 1:]))
data = data.batch(8, drop_remainder=True)  # of all processes together

if folder.is_dir() and any(folder.iterdir()):
    distiller.load_weights(folder)
begun = int(distiller.optimizer.iterations) // len(data)
save = keras.callbacks.OrbaxCheckpoint(folder)
distiller.fit(data, initial_epoch=begun, epochs=epochs, callbacks=[save])

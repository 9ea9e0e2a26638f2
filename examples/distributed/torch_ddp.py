"""Distils on several processes of PyTorch, and goes on after a stop.

    KERAS_BACKEND=torch torchrun --nproc-per-node 2 torch_ddp.py checkpoints

Each process is given the same arrays, and trains on its part of each batch; the
first one saves after each epoch. Models and data of yours go where the small
ones are.
"""

import os
import sys
from pathlib import Path

import keras
import numpy as np
import torch

import keras_dts

on_gpu = torch.cuda.is_available()
if on_gpu:
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
torch.distributed.init_process_group("nccl" if on_gpu else "gloo")
is_first = torch.distributed.get_rank() == 0
path = Path(sys.argv[1], "student.weights.h5")
epochs = int(os.environ.get("EPOCHS", "2"))


def classifier(width):
    return keras.Sequential(
        [
            keras.Input((16,)),
            keras.layers.Dense(width, activation="relu"),
            keras.layers.Dense(4),
        ]
    )


keras.utils.set_random_seed(0)  # the same on each process
x = np.random.default_rng(0).normal(size=(256, 16)).astype("float32")
y = np.argmax(x[:, :4], axis=1)
distiller = keras_dts.Distiller(classifier(64), classifier(8))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
distiller.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])

begun = 0
if path.exists():
    distiller.load_weights(path)
    begun = int(distiller.optimizer.iterations) // 8  # steps of an epoch
callbacks = [keras_dts.DTS()]
if is_first:
    path.parent.mkdir(parents=True, exist_ok=True)
    save = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    callbacks.append(save)
distiller.fit(
    x,
    y,
    batch_size=32,  # of all processes together
    initial_epoch=begun,
    epochs=epochs,
    callbacks=callbacks,
    verbose=2 if is_first else 0,
)
torch.distributed.barrier()  # an exit soon after a message may fail
torch.distributed.destroy_process_group()

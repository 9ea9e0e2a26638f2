"""Distils on several machines by TensorFlow, in a loop in place of `fit`.

In each process, with TF_CONFIG of its own: KERAS_BACKEND=tensorflow python
tf_workers.py. Models and data of yours go where the small ones are.
"""

import keras
import numpy as np
import tensorflow as tf

strategy = tf.distribute.MultiWorkerMirroredStrategy()  # before all else

import keras_dts

EPOCHS, STEPS, BATCH = 2, 8, 32  # the batch of all workers together


def classifier(width):
    return keras.Sequential(
        [
            keras.Input((16,)),
            keras.layers.Dense(width, activation="relu"),
            keras.layers.Dense(4),
        ]
    )


keras.utils.set_random_seed(0)  # the same on each worker
x = np.random.default_rng(0).normal(size=(256, 16)).astype("float32")
y = np.argmax(x[:, :4], axis=1).astype("int32")
with strategy.scope():
    policy = keras_dts.DynamicTemperature(8.0, 4.0, 8.0)
    distiller = keras_dts.Distiller(
        classifier(64), classifier(8), temperature=policy
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.Adam(1e-3), loss)
    distiller.optimizer.build(distiller.trainable_variables)


def dataset(context):
    data = tf.data.Dataset.from_tensor_slices((x, y)).shard(
        context.num_input_pipelines, context.input_pipeline_id
    )
    return data.batch(context.get_per_replica_batch_size(BATCH)).repeat()


batches = iter(strategy.distribute_datasets_from_function(dataset))


@tf.function(autograph=False)
def step(batch):
    return strategy.run(distiller.train_step, args=(batch,))


for epoch in range(EPOCHS):
    policy.begin_epoch(epoch, EPOCHS, STEPS)
    distiller.reset_metrics()
    for _ in range(STEPS):
        step(next(batches))
    logs = distiller.get_metrics_result()
    print({name: round(float(value), 4) for name, value in logs.items()})

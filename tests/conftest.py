"""Settings for all tests: one process tests one backend."""

import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The tests' tensors are small: PyTorch's threads would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Two devices on the CPU, for the tests of several replicas; and machine code as
# it comes, since a test runs a step a few times and compiles it each time.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=2"
    " --xla_backend_optimization_level=0",
)
# Many tests compile what another one has compiled, in other processes too.
_COMPILED = tempfile.TemporaryDirectory(prefix="keras-dts-xla-")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", _COMPILED.name)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import keras
import pytest

BACKENDS = ("jax", "tensorflow", "torch")

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)


def pytest_collection_modifyitems(config, items):
    """Leaves out what another backend's process runs."""
    others = set(BACKENDS) - {keras.backend.backend()}
    mine = keras.backend.backend()
    elsewhere = [
        item
        for item in items
        if any(item.get_closest_marker(name) for name in others)
        and not item.get_closest_marker(mine)
    ]
    config.hook.pytest_deselected(items=elsewhere)
    items[:] = [item for item in items if item not in elsewhere]


@pytest.fixture(autouse=True)
def _clean_state():
    """Gives each test the same seed, and clears what the last one left."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1234)
    yield
    keras.config.set_dtype_policy("float32")

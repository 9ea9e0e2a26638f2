"""Settings for all tests: one process tests one backend.

A folder decides which backends run its tests: numbers run on all three, what
no backend changes runs on one of them. A marker on a test of its own says
otherwise.
"""

import gc
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The tests' tensors are small: PyTorch's threads would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Two devices on the CPU, for the tests of several replicas; and machine code as
# it comes, in one piece and by the emitter that is quick at small programs,
# since a test runs a step a few times and compiles it each time.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=2"
    " --xla_backend_optimization_level=0"
    " --xla_cpu_parallel_codegen_split_count=1"
    " --xla_cpu_use_fusion_emitters=false",
)
# Many tests compile what another one has compiled, in other processes too:
# workers of pytest-xdist and scripts get the folder by the environment.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _COMPILED = tempfile.TemporaryDirectory(prefix="keras-dts-xla-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _COMPILED.name
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import pytest

ROOT = pathlib.Path(__file__).parents[1]
BACKENDS = ("jax", "tensorflow", "torch")

# The folders and files whose tests one backend runs; all run the others. The
# longest path that fits counts.
ONE_BACKEND = {
    "keras_dts": "jax",
    "tests/benchmarks": "jax",
    "tests/benchmarks/test_own_text.py": "torch",
    "tests/cli": "jax",
    "tests/docs": "jax",
    "tests/examples": "jax",
    "tests/attacks": "torch",
    "tests/cache/test_checks.py": "torch",
    "tests/cache/test_damage.py": "torch",
    "tests/cache/test_endless.py": "torch",
    "tests/cache/test_fields.py": "torch",
    "tests/cache/test_hostile.py": "torch",
    "tests/cache/test_lock.py": "torch",
    "tests/cache/test_parts.py": "torch",
    "tests/cache/test_storage.py": "torch",
    "tests/callbacks/test_exponents.py": "torch",
    "tests/callbacks/test_phase_arguments.py": "torch",
    "tests/callbacks/test_report.py": "torch",
    "tests/callbacks/test_temp_balance.py": "torch",
    "tests/data": "torch",
    "tests/distributed/test_jax.py": "jax",
    "tests/distributed/test_processes.py": "torch",
    "tests/distiller/test_array_adapter.py": "torch",
    "tests/experiments": "torch",
    "tests/metrics/test_texts.py": "torch",
    "tests/plots": "torch",
    "tests/hub/test_text_errors.py": "torch",
    "tests/utils": "torch",
}


def pytest_sessionstart(session):
    """Gives TensorFlow two devices.

    Here and below Keras is imported where tests run, and not by the process
    that deals them out to workers.
    """
    if session.config.getoption("dist", "no") != "no":
        return
    import keras

    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)


def pytest_collection_finish():
    """Takes what is imported out of the garbage collector's rounds.

    Tracing makes so many objects that it would look through all of them again
    and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def backends_of(path):
    """Returns the backends that run the tests of a file."""
    inside = path.relative_to(ROOT)
    for folder in (inside, *inside.parents):
        if folder.as_posix() in ONE_BACKEND:
            return (ONE_BACKEND[folder.as_posix()],)
    return BACKENDS


def pytest_collection_modifyitems(config, items):
    """Marks each test by its backends, and leaves out what others run."""
    import keras

    mine, elsewhere = [], []
    for item in items:
        own = [name for name in BACKENDS if item.get_closest_marker(name)]
        backends = own or backends_of(item.path)
        for name in backends:
            item.add_marker(name)
        here = keras.config.backend() in backends
        (mine if here else elsewhere).append(item)
    config.hook.pytest_deselected(items=elsewhere)
    items[:] = mine


def forget_graphs():
    """Lets go of the graphs of a test on TensorFlow.

    Its list of gradients holds them for as long as the process lives; the
    memory of a test runner would not suffice.
    """
    from tensorflow.python.framework import ops

    gradients = ops.gradient_registry._registry
    for name in [n for n in gradients if n.startswith("CustomGradient-")]:
        del gradients[name]


@pytest.fixture(scope="module", autouse=True)
def _what_stays_is_frozen():
    """Lets the garbage collector look at what is new in each file alone.

    TensorFlow keeps most of its graphs. Looking through all of them took up to
    half a minute, in the middle of some test.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _clean_state():
    """Gives each test the same seed, and clears what the last one left."""
    import keras

    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1234)
    yield
    keras.config.set_dtype_policy("float32")
    if keras.config.backend() == "tensorflow":
        forget_graphs()

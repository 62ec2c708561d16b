import importlib.util
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")

import hypothesis
import keras
import pytest

# One seed for everybody: a failure here is a failure there.
hypothesis.settings.register_profile("default", deadline=None, derandomize=True, max_examples=30)
hypothesis.settings.load_profile("default")

_LEFT_OUT = pytest.StashKey()


@pytest.fixture(autouse=True)
def _same_random_numbers_for_every_test():
    keras.utils.set_random_seed(0)


@pytest.fixture
def tfq():
    """The module tensorflow_quantum; a test that asks for it needs no mark."""
    import tensorflow_quantum

    return tensorflow_quantum


def pytest_collection_modifyitems(config, items):
    """Without TensorFlow Quantum, the tests that need it are left out; nothing else is, anywhere."""
    needing = [item for item in items if item.get_closest_marker("tfq") or "tfq" in getattr(item, "fixturenames", ())]
    for item in needing:
        item.add_marker("tfq")  # for `-m tfq`
    if importlib.util.find_spec("tensorflow_quantum") is None:
        items[:] = [item for item in items if item not in needing]
        config.hook.pytest_deselected(items=needing)
        config.stash[_LEFT_OUT] = len(needing)
        if hasattr(config, "workeroutput"):
            config.workeroutput["left_out"] = len(needing)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Of the processes of pytest-xdist, each of which collects everything."""
    if count := getattr(node, "workeroutput", {}).get("left_out"):
        node.config.stash[_LEFT_OUT] = count


def pytest_terminal_summary(terminalreporter, config):
    if count := config.stash.get(_LEFT_OUT, 0):
        terminalreporter.write_line(f"{count} tests need TensorFlow Quantum, which is not installed, and were left out")

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")

import hypothesis
import keras
import pytest

# One seed for everybody: a failure here is a failure there.
hypothesis.settings.register_profile("default", deadline=None, derandomize=True, max_examples=30)
hypothesis.settings.load_profile("default")


@pytest.fixture(autouse=True)
def _same_random_numbers_for_every_test():
    keras.utils.set_random_seed(0)

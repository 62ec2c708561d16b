"""What a run says while it goes on, beside its progress bar."""

import sys

from tqdm import tqdm


def tell(message):
    tqdm.write(message, file=sys.stderr)

"""What is tried again: faults that pass by themselves, as Google's engine and networks raise them."""

import asyncio
import concurrent.futures
import sys

from tqdm import tqdm

WAITS = (1, 2, 4, 8, 16, 32)  # seconds before each further try
_REFUSED, _MISSING, _EXISTS = 429, 404, 409
_TRANSIENT = {408, _REFUSED, 500, 502, 503, 504}
# Failures of a job that are the system's, and not the circuit's.
SYSTEM_FAILURES = {"SYSTEM_ERROR", "SCHEDULING_EXPIRED", "READ_PROGRAM_UNKNOWN_ERROR", "READ_RUN_CONTEXT_UNKNOWN_ERROR"}


def tell_next_try(fault: str, seconds: float) -> None:
    """Say beside the progress bar what went wrong, and when it is tried again."""
    tqdm.write(f"{fault} The next try is in {seconds} s.", file=sys.stderr)


def _code(error):
    """The HTTP status of an error of Google's, or of the one behind an `EngineException`; else None."""
    for cause in (error, error.__cause__):
        code = getattr(cause, "code", None)
        if isinstance(code, int):
            return int(code)
    return None


def is_refused(error: BaseException) -> bool:
    """Whether nothing was taken: too many requests."""
    return _code(error) == _REFUSED


def is_missing(error: BaseException) -> bool:
    """Whether what was asked for is not there."""
    return _code(error) == _MISSING


def is_transient(error: BaseException) -> bool:
    """Whether the same may work a little later."""
    timeouts = (TimeoutError, asyncio.TimeoutError, concurrent.futures.TimeoutError)
    return isinstance(error, (ConnectionError, *timeouts)) or _code(error) in _TRANSIENT


def already_exists(error: BaseException) -> bool:
    """Whether the job of this id arrived before."""
    return _code(error) == _EXISTS or "already exists" in str(error).lower()

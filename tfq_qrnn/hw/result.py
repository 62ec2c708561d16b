"""The result of a closed loop, and its file."""

import dataclasses
import json
import os
import pathlib
import zipfile
from typing import Any

import numpy as np

from tfq_qrnn import _files
from tfq_qrnn._errors import argument_error, argument_type_error, counted
from tfq_qrnn.hw.cost import Cost, Sweeps
from tfq_qrnn.hw.readout_errors import CalibrationShots, ReadoutErrors

FORMAT = "tfq_qrnn result 1"
_ARRAYS = ("readouts", "standard_errors", "exact", "angles")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Result:
    """The result of a closed loop; time runs in the order in which the layer reads.

    Where a model has several recurrent cells, this is the last one's in the order of calls, `earlier` holds those
    before, and `cost` is that of all.

    Attributes:
        readouts: Measured, `(batch, time, n_observables)`. A masked step repeats the readouts before it.
        standard_errors: Of the readouts, from their shots.
        exact: The readouts of the same loop, simulated without noise or shots: those of `trace`.
        angles: What the controller gave, `(batch, time, n_angles)` in radians.
        outputs: What the layer or model returns for the measured readouts.
        readout_errors: The calibrated `ReadoutErrors`, or None; of several rings those of the first.
        cost: The `Cost`.
        earlier: The `Result` of each recurrent cell before, without outputs; in most models there is none.
        ring_errors: The calibrated `ReadoutErrors` of each ring, where several ran at once.

    >>> sampler = tfq_qrnn.hw.sampler("simulator", seed=0)
    >>> layer = tfq_qrnn.QRNN(n_qubits=2, observables="Z")
    >>> result = tfq_qrnn.hw.run(layer, np.ones((1, 3, 4), "float32"), sampler, repetitions=1000, progress=False)
    >>> bool(np.all(np.abs(result.readouts - result.exact) < 6 * result.standard_errors + 0.01))
    True
    """

    readouts: np.ndarray
    standard_errors: np.ndarray
    exact: np.ndarray
    angles: np.ndarray
    outputs: Any
    readout_errors: ReadoutErrors | None
    cost: Cost
    earlier: tuple["Result", ...] = ()
    ring_errors: tuple[ReadoutErrors, ...] = ()

    def __repr__(self) -> str:
        batch, time, observables = self.readouts.shape
        error = np.sqrt(np.mean((self.readouts - self.exact) ** 2))
        counts = ((batch, "sequence"), (time, "time step"), (observables, "observable"))
        return f"Result({', '.join(counted(*count) for count in counts)}, rms error {error:.3f}; {self.cost!r})"

    def save(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Write everything to one `.npz` file, which `load` reads; returns its path.

        Raises:
            ValueError, TypeError: `path` is no path that ends in `.npz`, or the outputs are neither arrays nor lists,
                tuples or dicts of them.

        >>> import tempfile
        >>> sampler = tfq_qrnn.hw.sampler("simulator", seed=0)
        >>> x = np.ones((1, 2, 4), "float32")
        >>> result = tfq_qrnn.hw.run(tfq_qrnn.QRNN(n_qubits=2), x, sampler, repetitions=10, progress=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = tfq_qrnn.hw.Result.load(result.save(f"{folder}/result.npz"))
        >>> bool(np.all(again.readouts == result.readouts)), again.cost == result.cost
        (True, True)
        """
        if not isinstance(path, (str, os.PathLike)):
            raise argument_type_error("path", "be a path", path)
        path = pathlib.Path(path)
        if path.suffix != ".npz":
            raise argument_error("path", "end in .npz", f"it is {path}")
        arrays: dict[str, np.ndarray] = {}
        described = {"format": FORMAT, "result": _described(self, "", arrays)}
        with _files.replacing(path) as partial:
            np.savez_compressed(partial, described=np.array(json.dumps(described)), **arrays)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Result":
        """What `save` wrote; nothing in the file is run.

        Raises:
            ValueError: The file is none that `save` wrote.
        """
        try:
            _files.check_regular(path)
            with np.load(path, allow_pickle=False) as arrays:
                described = _files.parse_json(str(arrays["described"]))
                if described["format"] != FORMAT:
                    raise ValueError(f"its format is {described['format']!r} and not {FORMAT!r}")
                return _result(described["result"], "", arrays)
        except (OSError, LookupError, TypeError, AttributeError, ValueError, zipfile.BadZipFile) as error:
            reason = error if type(error) is ValueError else repr(error)
            raise argument_error("path", "be a file that `Result.save` wrote", f"{path} is none: {reason}") from error


def _described(result, prefix, arrays):
    """What is no array of a result; its arrays go to `arrays`, by names that begin with `prefix`."""
    arrays |= {f"{prefix}{name}": getattr(result, name) for name in _ARRAYS}
    numbered, rings = range(len(result.earlier)), enumerate(result.ring_errors)
    return {
        "outputs": _flattened(result.outputs, f"{prefix}outputs", arrays),
        **_described_errors(result.readout_errors, prefix, arrays),
        "rings": [_described_errors(errors, f"{prefix}ring{ring}/", arrays) for ring, errors in rings],
        "cost": dataclasses.asdict(result.cost),
        "earlier": [_described(result.earlier[i], f"{prefix}{i}/", arrays) for i in numbered],
    }


def _described_errors(errors, prefix, arrays):
    if errors is None:
        return {"mitigated": False}
    arrays |= {f"{prefix}e0": errors.e0, f"{prefix}e1": errors.e1}
    arrays |= {f"{prefix}pairs/{i},{j}": matrix for (i, j), matrix in errors.pairs.items()}
    if errors.shots is not None:
        arrays |= {f"{prefix}{name}": getattr(errors.shots, name) for name in ("patterns", "covariances")}
    blocks = None if errors.shots is None else errors.shots.blocks
    return {"mitigated": True, "pairs": [*errors.pairs], "blocks": blocks}


def _result(described, prefix, arrays):
    cost = described["cost"]
    cost = {name: tuple(value) if isinstance(value, list) else value for name, value in cost.items()}
    cost["sweeps"] = tuple(Sweeps(**sweep) for sweep in cost["sweeps"])
    errors = _readout_errors(described, prefix, arrays) if described["mitigated"] else None
    earlier = tuple(_result(of_one, f"{prefix}{i}/", arrays) for i, of_one in enumerate(described["earlier"]))
    outputs = _unflattened(described["outputs"], arrays)
    rings = enumerate(described.get("rings", ()))
    of_rings = tuple(_readout_errors(of_one, f"{prefix}ring{ring}/", arrays) for ring, of_one in rings)
    return Result(*(arrays[f"{prefix}{name}"] for name in _ARRAYS), outputs, errors, Cost(**cost), earlier, of_rings)


def _readout_errors(described, prefix, arrays):
    pairs = {(i, j): arrays[f"{prefix}pairs/{i},{j}"] for i, j in described.get("pairs", ())}
    shots = None
    if described.get("blocks") is not None:
        blocks = tuple(map(tuple, described["blocks"]))
        shots = CalibrationShots(arrays[f"{prefix}patterns"], blocks, arrays[f"{prefix}covariances"])
    return ReadoutErrors(arrays[f"{prefix}e0"], arrays[f"{prefix}e1"], pairs, shots)


def _flattened(value, name, arrays):
    """A JSON-able form of nested outputs, whose arrays go to `arrays`."""
    if value is None:
        return None
    if isinstance(value, dict):
        return {"dict": {key: _flattened(inner, f"{name}/{key}", arrays) for key, inner in value.items()}}
    if isinstance(value, (list, tuple)):
        inner = [_flattened(inner, f"{name}/{i}", arrays) for i, inner in enumerate(value)]
        return {type(value).__name__ if type(value) in (list, tuple) else "tuple": inner}
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        raise argument_type_error("outputs", "be arrays, or lists, tuples or dicts of them, to be saved", value)
    arrays[name] = value
    return {"array": name}


def _unflattened(form, arrays):
    if form is None:
        return None
    ((kind, value),) = form.items()
    if kind == "array":
        return arrays[value]
    if kind == "dict":
        return {key: _unflattened(inner, arrays) for key, inner in value.items()}
    return {"list": list, "tuple": tuple}[kind](_unflattened(inner, arrays) for inner in value)

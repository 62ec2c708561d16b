"""A trained layer as a folder of circuits that another program, in another Cirq, can run.

manifest.json      what is what: qubits, symbols and their values from angles, settings, observables, versions, hashes
weights.json       the controller's weights, and those of a trainable circuit
step_0001.json     the circuit of time step 1 with its readout layer and measurement, as Cirq JSON: lossless
step_0001.pb       the same as a cirq_google program, as Google's engine takes it
step_0002.json     time steps 1 and 2, and so on
"""

import dataclasses
import json
import os
import pathlib
from typing import Any

import cirq
import keras
import numpy as np

from tfq_qrnn import _cirq_json, _files
from tfq_qrnn._errors import argument_error, argument_type_error, counted
from tfq_qrnn._files import digest
from tfq_qrnn._version import __version__
from tfq_qrnn.hw.devices import cirq_google
from tfq_qrnn.hw.readout_errors import KEY
from tfq_qrnn.hw.replay import Replay
from tfq_qrnn.hw.rings import coupling_graph
from tfq_qrnn.layers.controller import Controller
from tfq_qrnn.layers.qrnn_cell import QRNNCell

FORMAT = "tfq_qrnn circuits 1"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Exported:
    """What `export` wrote.

    Attributes:
        programs: For each time step t the circuit of steps 1..t with the layer that chooses the setting and the
            measurement, symbolic: what a sampler runs.
        qubits: The program's qubits on the device, in its order.
        manifest: The manifest, as JSON has it.
        weights: Name -> array.

    >>> import pathlib, tempfile
    >>> layer = tfq_qrnn.QRNN(n_qubits=2)
    >>> layer.build((None, None, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = tfq_qrnn.hw.export(layer, pathlib.Path(folder, "circuits"), device="weber", n_timesteps=3)
    ...     exported = tfq_qrnn.hw.load(path)
    >>> len(exported.circuits), len(exported.qubits)
    (3, 2)
    """

    programs: tuple[cirq.Circuit, ...]
    qubits: tuple[cirq.Qid, ...]
    manifest: dict
    weights: dict

    @property
    def circuits(self) -> tuple[cirq.Circuit, ...]:
        """The same without readout layer and measurement: the unitaries of the prefixes."""
        return tuple(program[:-2] for program in self.programs)

    @property
    def settings(self) -> dict:
        """Setting -> values of the readout layer's symbols."""
        return self.manifest["settings"]

    def half_turns(self, angles: np.ndarray) -> dict[str, float]:
        """Values of the circuits' symbols, by name, for `(timesteps, n_angles)` angles in radians.

        Raises:
            ValueError: The shape is another one.
        """
        angles = np.asarray(angles, np.float64)
        steps, count = len(self.programs), len(self.manifest["angles"])
        if angles.ndim != 2 or angles.shape[1] != count or not 1 <= len(angles) <= steps:
            raise argument_error(
                "angles", f"have shape (time, {count}) with 1 to {steps} time steps", f"its shape is {angles.shape}"
            )
        forms = self.manifest["values"]
        return {
            name: form["offset"] + sum(coefficient * float(row[index]) for index, coefficient in form["terms"])
            for names, row in zip(self.manifest["symbols"], angles, strict=False)
            for name, form in zip(names, forms, strict=True)
        }

    def resolve(self, angles: np.ndarray) -> list[cirq.Circuit]:
        """The circuits of the time steps of `angles`, `(time, n_angles)` in radians: a list of `cirq.Circuit`."""
        values = self.half_turns(angles)
        return [cirq.resolve_parameters(circuit, values) for circuit in self.circuits[: len(angles)]]

    def __repr__(self) -> str:
        return f"Exported({counted(len(self.programs), 'time step')} on {', '.join(map(str, self.qubits))})"


def export_circuits(
    cell: QRNNCell,
    replay: Replay,
    path: str | os.PathLike[str],
    device: Any,
    n_timesteps: int,
) -> pathlib.Path:
    """Write a cell's compiled circuits: what `Plan.export` does."""
    if not isinstance(path, (str, os.PathLike)):
        raise argument_type_error("path", "be a path", path)
    if "\0" in str(path):
        raise argument_error("path", "be a path", "it has a zero byte")
    path, google = pathlib.Path(path), cirq_google()
    if not cell.built:
        raise argument_error("layer", "be built: call it once, or train it", "it has no weights yet")
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise argument_error("path", "be a new or an empty folder", f"{path} is there")
    if coupling_graph(device) is None:
        raise argument_type_error("device", "be a device with a grid of couplers", device)
    with _files.replacing(path) as partial:
        partial.mkdir()
        (partial / "weights.json").write_text(json.dumps(_weights(cell)))
        moments: dict = {}
        for t in range(1, n_timesteps + 1):
            circuit = replay.circuit(t)
            if replay.is_changed or t == 1:  # the others repeat its gates, with symbols of other names
                device.validate_circuit(circuit)
            file = partial / f"step_{t:04}.json"
            file.write_text(_circuit_json(circuit, moments))
            file.with_suffix(".pb").write_bytes(google.CIRCUIT_SERIALIZER.serialize(circuit).SerializeToString())
        manifest = _manifest(cell, replay.native, replay.readout, n_timesteps)
        manifest["files"] = {file.name: digest(file.read_bytes()) for file in sorted(partial.iterdir())}
        manifest["sha256"] = _manifest_digest(manifest)
        (partial / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return path


def _circuit_json(circuit, known):
    """`cirq.to_json` of a circuit, whose moments are kept in `known`: those of step t stand in all files from t on."""
    for moment in circuit:
        if id(moment) not in known:
            known[id(moment)] = moment, cirq.to_json(moment, indent=None)  # the moment, too: its id stays its own
    return f'{{"cirq_type": "Circuit", "moments": [{", ".join(known[id(moment)][1] for moment in circuit)}]}}'


def _manifest(cell, native, plan, n_timesteps):
    program = cell.program
    return {
        "format": FORMAT,
        "versions": {
            "tfq_qrnn": __version__,
            "cirq": cirq.__version__,
            "cirq_google": cirq_google().__version__,
        },
        "timesteps": n_timesteps,
        "qubits": json.loads(cirq.to_json(list(native.qubits))),
        "relays": json.loads(cirq.to_json(list(native.relays))),
        "measurement": KEY,
        "observables": json.loads(cirq.to_json(list(program.observables))),
        "program": json.loads(cirq.to_json(program.circuit)),
        "settings": {setting: plan.values(setting) for setting in plan.settings},
        "angles": [str(symbol) for symbol in program.symbols],
        "symbols": [list(native.symbol_names(step)) for step in range(n_timesteps)],
        "values": [
            {"offset": float(offset), "terms": [[int(i), float(row[i])] for i in np.flatnonzero(row)]}
            for row, offset in zip(native.matrix, native.offset, strict=True)
        ],
        "controller": _controller(cell),
    }


def _controller(cell):
    controller, built = cell.controller, cell.get_build_config()
    features = built.get("shapes_dict", built)["input_shape"][-1]
    described = {"class": type(controller).__name__, "inputs": features, "readouts": cell.output_size}
    if not isinstance(controller, Controller):
        return {**described, "weights": "the saved model"}
    return {
        **described,
        "weights": "weights.json",
        "hidden_units": list(controller.hidden_units),
        "activation": keras.activations.serialize(controller.activation),
        "use_bias": controller.use_bias,
    }


def _weights(cell):
    """The weights of a `Controller`, and of a trainable circuit; those of another controller are in the saved model."""
    weights = list(cell.controller.weights) if isinstance(cell.controller, Controller) else []
    weights += [] if cell.circuit_angles is None else [cell.circuit_angles]
    arrays = {weight.name: keras.ops.convert_to_numpy(weight) for weight in weights}
    # repr of a float, which JSON writes, reads back as the same float
    return {name: {"dtype": str(a.dtype), "shape": a.shape, "values": a.ravel().tolist()} for name, a in arrays.items()}


def _manifest_digest(manifest):
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return digest(json.dumps(rest, sort_keys=True).encode())


def load(path: str | os.PathLike[str]) -> Exported:
    """What `export` wrote to a folder.

    Every file is checked against its hash in the manifest, must lie in the folder itself, and have no more than 64 MiB.
    Circuits and weights are JSON: nothing in them is run.

    Raises:
        ValueError: A file is missing, changed, too large, or outside the folder.

    >>> tfq_qrnn.hw.load("nowhere")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: Argument `path` must be a folder that `export` wrote, but nowhere is none: FileNotFoundError...
    """
    path = pathlib.Path(path)
    try:
        manifest = _files.parse_json(_read(path, "manifest.json").decode())
        if manifest["format"] != FORMAT:
            raise ValueError(f"its format is {manifest['format']!r} and not {FORMAT!r}")
        if manifest["sha256"] != _manifest_digest(manifest):
            raise ValueError("its manifest.json was changed")
        files = dict(manifest["files"])
        contents = {name: _read(path, name) for name in files}
        for name, content in contents.items():
            if digest(content) != files[name]:
                raise ValueError(f"its {name} was changed")
        programs = tuple(
            _cirq_json.read(contents[f"step_{t:04}.json"].decode(), _cirq_json.CIRCUIT)
            for t in range(1, manifest["timesteps"] + 1)
        )
        if not all(isinstance(program, cirq.AbstractCircuit) for program in programs):
            raise ValueError("a step is no circuit")
        qubits = tuple(_cirq_json.read(json.dumps(manifest["qubits"]), _cirq_json.CIRCUIT))
        weights = _files.parse_json(contents["weights.json"].decode())
        exported = Exported(programs, qubits, manifest, {name: _array(data) for name, data in weights.items()})
        known = exported.half_turns(np.zeros((len(programs), len(manifest["angles"])))).keys()
        known |= {name for values in exported.settings.values() for name in values}
        if not all(cirq.parameter_names(program) <= known for program in programs):
            raise ValueError("its circuits have symbols without values")
    except (OSError, LookupError, TypeError, AttributeError, ValueError) as error:
        reason = error if type(error) is ValueError else repr(error)
        raise argument_error("path", "be a folder that `export` wrote", f"{path} is none: {reason}") from error
    return exported


def _array(data):
    if data["dtype"] not in ("float16", "float32", "float64"):  # a text type may be of any size
        raise ValueError(f"it has weights of type {data['dtype']!r}")
    return np.array(data["values"], data["dtype"]).reshape(data["shape"])


def _read(folder, name):
    file = folder / name
    # Neither a path ("../x", "/x") nor a link out of the folder.
    if pathlib.PurePath(name).name != name or file.resolve().parent != folder.resolve():
        raise ValueError(f"it names {name!r}, which is outside it")
    return _files.read_bytes(file)

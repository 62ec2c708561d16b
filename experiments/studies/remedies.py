"""What else might help a layer over 196 time steps: permuted digits, with one change to the layer or its training.

    python -m experiments.studies.remedies                                        the layer as it is
    python -m experiments.studies.remedies --remedy gate --seed 0 1 2             with another remedy

Everything else, the scale of the angles too, is as in mnist.py --pixels 4 --permuted. The remedies:

none                  the layer as it is
truncated-N           the gradient is stopped every N steps (7 and 28)
gate                  what is fed back is multiplied by a gate per readout, which input and readouts set, in place of
                      the feedback gain
slow-controller       the controller learns at 0.3 times the rate of the rest, as if in a group of its own
quick-controller      at 3 times
scales                the qubits' angles have scales from 0.01 to 0.3, in place of one
mixing, mixing-only   one more layer of the circuit, with angles that no input moves; beside the initial rotation, or
                      in place of it
frozen-mixing         the same in place of it, with angles that are not trained

The learning rate is that of mnist.py for all of them. Writes OUT/record.json, metrics.csv and model.keras. The same
command resumes a run that was stopped.
"""

import functools

import numpy as np

from experiments.data import images
from experiments.harness import arguments
from experiments.late import late
from experiments.models import recurrent
from experiments.plan import REMEDIES
from experiments.tasks import mnist

keras, tfq_qrnn, variants = late("keras", "tfq_qrnn", "experiments.models.variants")
experiment, training = late("experiments.harness.experiment", "experiments.harness.training")

_SETS = {  # what a remedy puts something else in place of
    "gate": "feedback_gain",
    "scales": "angle_scale",
    "mixing-only": "initial_rotation",
    "frozen-mixing": "initial_rotation",
}
_CONTROLLER_RATES = {"slow-controller": 0.3, "quick-controller": 3.0}
_MIXING = 0.1  # radians: the spread of its angles, as that of the rotation that it may replace


def parse_arguments(given=None):
    parser = arguments.parser(__doc__, "remedies", images.DATASETS)
    parser.add_argument("--remedy", choices=REMEDIES, default="none", help="see above (none)")
    parser.set_defaults(pixels=4, permuted=True, hidden=[32], activation="gelu", initial_rotation=0.1, drift=None)
    options = parser.parse_args(given)
    if {options.model, *options.compare} != {"qrnn"}:
        parser.error("Argument `--model` must be qrnn, which the remedies are for, but there are others.")
    if (name := _SETS.get(options.remedy)) and getattr(options, name) != parser.get_default(name):
        option = name.replace("_", "-")
        parser.error(f"Argument `--{option}` must be left out with `--remedy {options.remedy}`, which sets it.")
    return options


def build(options, steps, features, classes):
    """The model of a remedy."""
    remedy, qubits = options.remedy, options.qubits
    settings = arguments.layer_arguments(options)
    if remedy == "scales":
        # layer by layer and rotation by rotation, the angles go through the qubits
        angles = tfq_qrnn.HardwareEfficient(qubits, options.depth).n_angles
        settings["angle_scale"] = np.tile(np.geomspace(0.01, 0.3, qubits), angles // qubits).tolist()
    if remedy in ("mixing-only", "frozen-mixing"):
        settings["initial_rotation"] = 0.0
    if "mixing" in remedy:
        mixing = recurrent.ansatz(qubits, 1, options.entangler)
        settings["circuit_arguments"] = {
            "trainable_circuit": mixing,
            "circuit_initializer": keras.initializers.RandomNormal(stddev=_MIXING),
        }
    x = keras.Input((steps, features))
    if remedy == "gate":
        cell = recurrent.recurrent_layer("qrnn", **settings | {"feedback_gain": 1.0}).cell
        layer = keras.layers.RNN(variants.GatedCell.from_config(cell.get_config()))
        layer.cell.build((None, features), timesteps=steps)
    else:
        layer = recurrent.recurrent_layer("qrnn", **settings, return_state=remedy.startswith("truncated"))
        layer.build((None, steps, features))  # here, so that one that is called on pieces has the scale of the whole
    if remedy.startswith("truncated"):
        piece, state = int(remedy.removeprefix("truncated-")), None
        for start in range(0, steps, piece):
            readouts, *state = layer(x[:, start : start + piece], initial_state=state)
            state = [keras.ops.stop_gradient(part) for part in state]
    else:
        readouts = layer(x)
    if remedy == "frozen-mixing":
        layer.cell.circuit_angles.trainable = False
    return keras.Model(x, keras.layers.Dense(classes)(readouts))


def main(given=None):
    options = parse_arguments(given)
    data, splits = mnist.load(options)
    steps, features = splits["train"].x.shape[1:]
    optimizer = training.Adam
    if options.remedy in _CONTROLLER_RATES:
        optimizer = functools.partial(variants.GroupedAdam, controller_rate=_CONTROLLER_RATES[options.remedy])
    task = experiment.Task(
        "remedies",
        lambda name, units: build(options, steps, features, data.n_classes),
        **splits,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        notes={"name": data.name, "licence": data.licence},
        optimizer=optimizer,
    )
    experiment.run(task, options)


if __name__ == "__main__":
    main()

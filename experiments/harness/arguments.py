"""The options that all tasks have in common."""

import argparse
import itertools
import math
import pathlib

from experiments.late import late
from experiments.models import recurrent

(tfq_qrnn,) = late("tfq_qrnn")

# Keras's activations; "glu" is the layer's own. They stand here because --help waits for no Keras; a test compares.
ACTIVATIONS = """celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear
log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus
sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold"""
DRIFT = {"slowest": 0.01, "fastest": 1.0, "coupling": 0.0, "axis": "tilted", "seed": 0}  # the default of a layer
# How a QRNN is made: of the other models these options set the size, and no more.
OF_THE_QRNN = {"qubits", "depth", "entangler", "observables", "hidden", "activation", "angle_scale", "feedback_gain"}
OF_THE_QRNN |= {
    "initial_rotation",
    "gate_bias",
    "drift",
    "backend",
    "shots",
    "pauli_error",
    "closed",
    "closed_on_blanks",
}
ENTANGLERS = ("cz", "cnot", "iswap", "sqrt_iswap", "none")


def parser(description, task, dataset, **defaults):
    """An argument parser with the common options.

    Args:
        description: What `--help` begins with, the script's docstring.
        task: Name of the script; the results go to out/TASK by default.
        dataset: What `--dataset` may be; None for a script that makes its data.
        **defaults: Defaults that differ from those here, by the name of the option.
    """
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    values = {
        "epochs": 12,
        "batch_size": 32,
        "learning_rate": 1e-2,
        "warmup": 0.0,
        "clipnorm": 1.0,
        "qubits": 6,
        "depth": 2,
        "hidden": [20],
    }
    values |= {"entangler": "cz", "observables": "XYZ", "activation": "glu", "angle_scale": "auto"}
    values |= {"feedback_gain": 0.1, "initial_rotation": 0.0, "gate_bias": None, "drift": DRIFT, **defaults}

    def add(group, *names, help, **settings):
        name = names[0].removeprefix("--").replace("-", "_")
        if name in values:
            settings["default"] = values[name]
            shown = values[name]
            if isinstance(shown, (list, dict)):
                parts = map(str, shown) if isinstance(shown, list) else itertools.starmap("{}={}".format, shown.items())
                shown = (" " if isinstance(shown, list) else ",").join(parts)
            help = f"{help} ({'none' if shown is None else shown})"
        group.add_argument(*names, help=help, **settings)

    group = result.add_argument_group("what is trained")
    add(group, "--model", default="qrnn", choices=recurrent.NAMES, help="the model that is saved as model.keras (qrnn)")
    add(
        group,
        "--compare",
        nargs="*",
        default=[],
        choices=recurrent.NAMES,
        help="models to train beside it, of as many parameters as the qrnn of the sizes below",
    )
    add(
        group,
        "--seed",
        type=seed,
        nargs="+",
        default=[0],
        help="one or more; the first one's model is saved (0)",
    )
    add(group, "--epochs", type=at_least(1), help="how often the training data are read")
    add(group, "--batch-size", type=at_least(1), help="examples of one step")
    add(group, "--learning-rate", type=positive, help="of Adam, where a cosine decay to zero starts")
    add(
        group,
        "--warmup",
        type=fraction,
        help="part of the training, 0 to 1, in which the learning rate rises from 0 to its start",
    )
    add(group, "--clipnorm", type=positive, help="bound on the norm of the gradient of each variable")

    if dataset is not None:
        group = result.add_argument_group("data")
        group.add_argument("--dataset", default="embedded", help=dataset)
        group.add_argument("--data-dir", help="where the archives of `make data`, or TensorFlow Datasets' data, are")
        group.add_argument("--download", action="store_true", help="let TensorFlow Datasets download what is missing")
        group.add_argument(
            "--limit",
            type=at_least(1),
            metavar="N",
            help="use N training examples, and a fifth as many to validate and to test",
        )

    group = result.add_argument_group("the QRNN; classical models get as many parameters")
    add(group, "--qubits", type=at_least(1), help="number of qubits")
    add(group, "--depth", type=at_least(1), help="layers of the circuit")
    add(group, "--entangler", choices=ENTANGLERS, help="two-qubit gate of its ring, or none")
    add(
        group,
        "--observables",
        type=_observables,
        help='letters from "XYZ", read on every qubit; "pairs" reads ZZ of neighbours, too',
    )
    add(group, "--hidden", type=at_least(1), nargs="*", help="widths of the controller's hidden layers")
    add(group, "--activation", type=_activation, help="activation of these layers, any of Keras, or glu")
    add(
        group,
        "--angle-scale",
        type=_angle_scale,
        help='factor on all angles: a number, or "auto", 0.1 or less for a long input',
    )
    add(
        group,
        "--feedback-gain",
        type=_or_none(finite),
        help="factor on the initial weights of what is fed back; none for no feedback",
    )
    add(
        group,
        "--initial-rotation",
        type=_or_none(at_least(0, float)),
        help="spread of the angles' constant part, in radians; none for no such part",
    )
    add(
        group,
        "--gate-bias",
        type=_or_none(finite),
        help="where the biases of the gates start; none for the layer's own",
    )
    add(
        group,
        "--drift",
        type=drift,
        metavar="NAME=VALUE,...",
        help="arguments of tfq_qrnn.Drift, a number or a name each; none for no drift",
    )
    add(
        group,
        "--backend",
        default="auto",
        choices=("auto", "native", "tensorflow", "tfq"),
        help="what runs the circuits (auto: native where it is built)",
    )
    add(
        group,
        "--shots",
        type=at_least(1),
        help="train models with a circuit with the noise of so many shots per readout",
    )
    add(
        group,
        "--pauli-error",
        type=fraction,
        default=0.0,
        help="train models with a circuit with depolarizing of this rate after each moment (0)",
    )

    group = result.add_argument_group("results")
    add(group, "--out", type=pathlib.Path, default=pathlib.Path("out", task), help=f"folder (out/{task})")
    add(
        group,
        "--fresh",
        action="store_true",
        help="start over; without it, the same command resumes a run that was stopped, and trains nothing twice",
    )
    add(group, "--tensorboard", action="store_true", help="write logs for tensorboard --logdir OUT/logs")
    return result


def settings(options):
    """What the result of a run depends on, beside its model and seed, as a dict for JSON."""
    others = ("model", "compare", "seed", "out", "fresh", "tensorboard", "data_dir", "download", "temperature")
    return {name: value for name, value in vars(options).items() if name not in others}


def layer_arguments(options):
    """The keyword arguments of `recurrent.recurrent_layer` that the options set."""
    return {
        "qubits": options.qubits,
        "depth": options.depth,
        "hidden_units": tuple(options.hidden),
        "entangler": options.entangler,
        "angle_scale": options.angle_scale,
        "feedback_gain": options.feedback_gain,
        "initial_rotation": options.initial_rotation,
        "observables": options.observables,
        "activation": options.activation,
        "gate_bias": options.gate_bias,
        "drift": options.drift and tfq_qrnn.Drift(**options.drift),
        "backend": recurrent.backend(options.backend, options.shots, options.pauli_error),
    }


def at_least(least, kind=int):
    """A type for argparse: a number of a kind, `least` or more."""

    def number(text):
        if not least <= (value := kind(text)) < math.inf:
            raise argparse.ArgumentTypeError(f"must be {least} or more, but is {value}")
        return value

    number.__name__ = kind.__name__  # what argparse says of a text that is none
    return number


def seed(text):
    """A type for argparse: a seed of NumPy."""
    if not 0 <= (value := int(text)) < 2**32:
        raise argparse.ArgumentTypeError(f"must be 0 or more and below 2**32, but is {text}")
    return value


def positive(text):
    if not 0 < (value := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"must be more than 0, but is {text}")
    return value


def fraction(text):
    """A type for argparse: a number from 0 to below 1."""
    if not 0 <= (value := float(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be 0 or more and below 1, but is {text}")
    return value


def _angle_scale(text):
    return text if text == "auto" else positive(text)


def finite(text):
    if not math.isfinite(value := float(text)):
        raise argparse.ArgumentTypeError(f"must be finite, but is {text}")
    return value


def _observables(text):
    if text != "pairs" and (not text or not set(text) <= set("XYZ") or len(set(text)) < len(text)):
        raise argparse.ArgumentTypeError(f'must be different letters of "XYZ", or "pairs", but is {text}')
    return text


def _or_none(kind):
    """A type for argparse: another one, or none."""

    def value(text):
        return None if text == "none" else kind(text)

    return value


def drift(text):
    """The config of a drift, or None."""
    if text == "none":
        return None
    kinds = {"slowest": positive, "fastest": positive, "coupling": at_least(0, float), "axis": _axis, "seed": seed}
    parts = [part.partition("=")[::2] for part in text.split(",")]
    if unknown := [name for name, _ in parts if name not in kinds]:
        raise argparse.ArgumentTypeError(f"must have the names {', '.join(kinds)}, but has {', '.join(unknown)}")
    found = DRIFT | {name: kinds[name](value) for name, value in parts}
    if found["slowest"] > found["fastest"]:
        raise argparse.ArgumentTypeError(f"must have slowest at most fastest, {found['fastest']:g}, but has {text}")
    return found


def _axis(text):
    if text not in ("tilted", "z"):
        raise argparse.ArgumentTypeError(f"must have the axis tilted or z, but has {text}")
    return text


def _activation(text):
    if text not in (names := ACTIVATIONS.split()):
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(names)}, but is {text}")
    return text

"""What helps against the noise of a processor, at given angles: the controller has random weights and no feedback.

    python -m experiments.studies.mitigation                            weber, three seeds, some minutes
    python -m experiments.studies.mitigation --processor willow_pink    with cirq-google 1.6 or later

Random sequences are run on four qubits of the processor, simulated with the noise of its calibration, without and with
what hw.Mitigation offers. Since nothing that is measured is fed back, an error stays where it is made: unlike
hardware.py, this tells what each part of hw.Mitigation does.

Writes OUT/record.json and prints the rms error of the readouts at some time steps, mean and standard deviation over the
seeds of weights, sequences and shots.
"""

import argparse
import pathlib

import numpy as np

from experiments.harness import arguments
from experiments.late import late
from experiments.studies.hardware import sampler

keras, tfq_qrnn, hw = late("keras", "tfq_qrnn", "tfq_qrnn.hw")
records, report = late("experiments.harness.records", "experiments.harness.report")

QUBITS, STEPS, SHOWN = 4, 8, (1, 4, 8)
KINDS = {
    "nothing": {},
    "readout": {"readout": True},
    "readout, 16 gauges": {"readout": True, "gauges": 16},
    "readout, survival": {"readout": True, "survival": True},
    "readout, 16 gauges, survival": {"readout": True, "gauges": 16, "survival": True},
}


def parse_arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processor", default="weber", help="weber, rainbow or willow_pink (weber)")
    parser.add_argument("--repetitions", type=arguments.at_least(1), default=10_000, help="shots (10000)")
    parser.add_argument("--sequences", type=arguments.at_least(1), default=10, help="random ones (10)")
    parser.add_argument("--seed", type=arguments.seed, nargs="+", default=[0, 1, 2], help="one or more (0 1 2)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out", "mitigation"), help="(out/mitigation)")
    return parser.parse_args(given)


def errors(kind, seed, options):
    """The rms error of the readouts at each time step."""
    keras.utils.set_random_seed(seed)
    controller = tfq_qrnn.Controller((32,), angle_scale=1.0, feedback_gain=0.0)
    layer = tfq_qrnn.QRNN(QUBITS, controller=controller, seed=seed)
    x = 3 * np.random.default_rng(seed).normal(size=(options.sequences, STEPS, 8)).astype("float32")
    plan = hw.plan(layer, options.processor, STEPS, mitigation=hw.Mitigation(**KINDS[kind]))
    result = plan.run(x, sampler("noisy", options.processor, seed), options.repetitions)
    return np.sqrt(np.mean((result.readouts - result.exact) ** 2, axis=(0, 2)))


def main(given=None):
    options = parse_arguments(given)
    found = {kind: [errors(kind, seed, options).tolist() for seed in options.seed] for kind in KINDS}
    record = {"study": "mitigation", "settings": vars(options), "rms": found, "versions": records.versions()}
    records.write_json(options.out / "record.json", record)
    rows = [
        [kind, *(records.mean_and_spread([of_one[t - 1] for of_one in of_kind], 3) for t in SHOWN)]
        for kind, of_kind in found.items()
    ]
    print(report.table([options.processor, *(f"step {t}" for t in SHOWN)], rows))
    return found


if __name__ == "__main__":
    main()

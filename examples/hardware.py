"""From training to a processor: train a small QRNN, place it on a chip, run it in closed loop with noise, export it.

    python examples/hardware.py
    python examples/hardware.py --dataset tfds:fashion_mnist

Images are reduced to 8x8 pixels and read row by row: 8 time steps. The processor is a virtual one of Google's, with the
noise that was measured on it: Willow, or weber where TensorFlow Quantum holds cirq-google at 1.5. With credentials of
Google's, `hw.sampler("engine", ...)` is the real one.

Measured with seed 0: test accuracy 0.87 without noise. The readouts are wrong by 0.04 (rms) for the shots alone. On
Willow it is 0.06, corrected 0.05, and 0.09 on 24 rings, for a twelfth of the circuits. On weber it is 0.20, corrected
or not, and 0.26 on 10 rings: there errors grow from step to step, since what was measured is fed back.
"""

import shutil

import datasets
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import tfq_qrnn
from tfq_qrnn import hw

DEVICE = "willow_pink" if "willow_pink" in hw.processors() else "weber"
QUBITS, STEPS, SHOTS = 4, 8, 1000


def main(arguments=None):
    # ## Set-up
    options = datasets.parser(__doc__, __file__, epochs=12).parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(options.seed)

    # ## Data: sequences of 8 rows with 8 pixels
    def reduced(image, label):
        return tf.reduce_mean(tf.image.resize(image, (STEPS, 8), "area"), axis=-1), label

    parts = datasets.images(options.dataset, options.limit)
    train, validation, test = (part.map(reduced).cache() for part in parts)
    n_classes = 1 + max(int(label) for part in (train, validation, test) for _, label in part)
    batches = train.shuffle(len(train), seed=options.seed).batch(32)
    print(f"{len(train)} images to train on, {len(validation)} to validate, {len(test)} to test")

    # ## Train, as any Keras model. A ring of 4 qubits fits into the grid of the chip.
    layer = tfq_qrnn.QRNN(n_qubits=QUBITS, depth=2)
    model = keras.Sequential([keras.Input((STEPS, 8)), layer, keras.layers.Dense(n_classes, "softmax")])
    rate = keras.optimizers.schedules.CosineDecay(0.01, options.epochs * len(batches))
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    # `shuffle` is for arrays: these batches come shuffled.
    model.fit(batches, epochs=options.epochs, validation_data=validation.batch(100), shuffle=False)
    loss, accuracy = model.evaluate(test.batch(100), verbose=0)
    print(f"Test loss {loss:.3f}, accuracy {accuracy:.3f}")
    model.save(options.out / "model.keras")

    # ## Plan: where the circuit runs, by the calibration of the chip, and what that costs
    x, y = map(np.array, zip(*test.take(20).as_numpy_iterator(), strict=True))
    plan = hw.plan(model, DEVICE, STEPS)
    print(f"On {DEVICE} the qubits are {', '.join(map(str, plan.qubits))}")
    print(plan.cost(SHOTS, batch_size=len(x)))

    # Against errors: readout errors are measured and inverted, and so is what the gates leave of a readout. Many rings
    # of the chip read a sequence each.
    corrected = hw.plan(model, DEVICE, STEPS, mitigation=hw.Mitigation(readout=True, gauges=16, survival=True))
    rings = hw.plan(model, DEVICE, STEPS, rings="all", mitigation=hw.Mitigation(readout=True))

    # ## Run in closed loop: each step runs all steps so far, measures, and the controller chooses the next angles.
    # On a real processor give `journal=FILE`, too: a run that was stopped then asks for no shot twice.
    right = np.mean(model.predict(x, verbose=0).argmax(-1) == y)
    print(f"exactly: accuracy on {len(x)} test images {right:.2f}")
    runs = {
        "shots alone": (plan, "virtual"),
        "noise": (plan, "noisy"),
        "noise, corrected": (corrected, "noisy"),
        f"on {len(rings.rings)} rings": (rings, "noisy"),
    }
    results = {}
    for name, (one, kind) in runs.items():
        result = one.run(x, hw.sampler(kind, DEVICE, seed=options.seed), SHOTS)
        right = np.mean(result.outputs.argmax(-1) == y)
        error = np.sqrt(np.mean((result.readouts - result.exact) ** 2))
        circuits = f"{result.cost.circuits:,} circuits"
        print(f"{name}: accuracy on {len(x)} test images {right:.2f}, error of the readouts {error:.3f}, {circuits}")
        results[name] = result

    # ## Export: the circuits of each step, in the gates of the chip, as Cirq JSON and as Google's messages
    shutil.rmtree(options.out / "circuits", ignore_errors=True)
    plan.export(options.out / "circuits")

    # ## A picture: the readouts of the first qubit while one image is read. Lines are exact, bars two standard errors.
    figure, axes = plt.subplots(1, len(results), figsize=(16, 4), sharey=True, layout="constrained")
    for ax, (name, result) in zip(axes, results.items(), strict=True):
        for i, letter in enumerate("XYZ"):
            measured, errors = result.readouts[0, :, i], 2 * result.standard_errors[0, :, i]
            ax.plot(result.exact[0, :, i], color=f"C{i}")
            ax.errorbar(range(STEPS), measured, errors, fmt="o", color=f"C{i}", label=f"⟨{letter}⟩")
        ax.set(title=name, xlabel="time step", ylim=(-1.1, 1.1))
    axes[0].legend()
    figure.savefig(options.out / "picture.png")
    plt.close(figure)
    print(f"{options.out}: model.keras, circuits, picture.png")
    return model


if __name__ == "__main__":
    main()

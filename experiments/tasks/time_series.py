"""Classify multivariate time series of different lengths.

    python -m experiments.tasks.time_series                         JapaneseVowels: which of nine men says "ae"?
    python -m experiments.tasks.time_series --compare lstm gru rnn  beside classical layers of as many parameters
    python -m experiments.tasks.time_series --dataset my_series/    your own: see --dataset

JapaneseVowels (M. Kudo, J. Toyama, M. Shimbo, 1999): 12 cepstrum coefficients, 7 to 29 time steps, 270 series to train
on, of which 54 validate here, and 370 to test. Series of about the same length share a batch; what fills up the shorter
ones is masked.

Writes OUT/record.json, metrics.csv, model.keras and pictures.png, the learning curves and the Bloch vectors of every
qubit while one series is read. The same command resumes a run that was stopped.
"""

from experiments.data import series
from experiments.harness import arguments
from experiments.late import late
from experiments.models import recurrent

keras, experiment, plots = late("keras", "experiments.harness.experiment", "experiments.harness.plots")


def parse_arguments(given=None):
    defaults = {"epochs": 60, "batch_size": 16}
    return arguments.parser(__doc__, "time_series", series.DATASETS, **defaults).parse_args(given)


def main(given=None):
    options = parse_arguments(given)
    data = series.load_series(options.dataset, options.data_dir, options.download)
    splits = data.examples(options.limit)
    channels = data.train[0][0].shape[1]
    steps = [len(one) for part in (data.train, data.validation, data.test) for one in part[0]]
    print(
        f"{data.name}: {len(splits['train']):,} series of {min(steps)} to {max(steps)} steps of {channels} values to "
        f"train on, {len(splits['validation']):,} to validate, {len(splits['test']):,} to test; {len(data.classes)} "
        f"classes. Licence: {data.licence}."
    )

    def build(name, units):
        layer = recurrent.recurrent_layer(name, units, **arguments.layer_arguments(options))
        masking = keras.layers.Masking(series.PADDING)
        return keras.Sequential([keras.Input((None, channels)), masking, layer, keras.layers.Dense(len(data.classes))])

    task = experiment.Task(
        "time_series",
        build,
        **splits,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        notes={"name": data.name, "licence": data.licence},
    )
    runs, model = experiment.run(task, options)
    first = splits["test"].x[:1].to_tensor()
    picture = plots.pictures(
        options.out / "pictures.png",
        lambda ax: plots.learning_curves(runs, "val_accuracy", 100, "validation accuracy, %", ax),
        plots.bloch_vectors(
            model, first, f"The memory while a series of class {data.classes[data.test[1][0]]} is read"
        ),
    )
    print(f"{picture}: learning curves and, of a quantum layer, Bloch vectors")


if __name__ == "__main__":
    main()

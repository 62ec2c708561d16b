"""Classify digits, read row by row, on several machines or processes: the same result as on one.

    python -m experiments.distributed --workers 2          two processes of this machine, for a try
    python -m experiments.distributed                      one process; or, where TF_CONFIG names a cluster, its worker

Every worker runs the same command and takes its part of every batch; the first one writes OUT/record.json and
OUT/model.keras. Stopped at any moment, on any machine, it goes on when all workers are started again.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time

import keras

import tfq_qrnn
from experiments.data import images
from experiments.harness import arguments, records, training
from experiments.models import recurrent
from experiments.tasks import mnist

GRACE = 60  # seconds


def parse_arguments(given=None):
    parser = arguments.parser(__doc__, "distributed", images.DATASETS, batch_size=64)
    group = parser.add_argument_group("the cluster")
    group.add_argument("--workers", type=arguments.at_least(1), help="start so many workers on this machine")
    group.add_argument(
        "--save-every",
        type=arguments.at_least(1),
        metavar="STEPS",
        help="also save within an epoch, after so many steps",
    )
    parser.set_defaults(pixels=None, permuted=False)
    options = parser.parse_args(given)
    for name, unused in (("--compare", options.compare), ("--tensorboard", options.tensorboard)):
        if unused:
            parser.error(f"Argument `{name}` must be left out here, where one model is trained, but it is given.")
    if len(options.seed) > 1:
        parser.error(f"Argument `--seed` must be one seed here, but there are {len(options.seed)}.")
    return options


def main(given=None):
    options = parse_arguments(given)
    if options.workers and "TF_CONFIG" not in os.environ:
        sys.exit(start_workers(options.workers, sys.argv[1:] if given is None else given))
    config = {"cluster": {}, "task": {"type": "worker", "index": 0}, **json.loads(os.environ.get("TF_CONFIG", "{}"))}
    is_first = config["task"] == {"type": "chief" if "chief" in config["cluster"] else "worker", "index": 0}
    seed, folder = options.seed[0], options.out / "checkpoints"
    data, splits = mnist.load(options)
    settle(options, splits, folder, is_first)
    settings = training.Settings(
        options.epochs, options.batch_size, options.learning_rate, options.warmup, options.clipnorm
    )
    schedule = training.schedule(settings, splits["train"].steps(options.batch_size))
    shape = splits["train"].x.shape[1:]

    def build():
        keras.utils.set_random_seed(seed)

        def sized(units=None, name="qrnn"):
            layer = recurrent.recurrent_layer(name, units, **arguments.layer_arguments(options))
            return keras.Sequential([keras.Input(shape), layer, keras.layers.Dense(data.n_classes)])

        units = None
        if options.model in recurrent.RECURRENT:
            units = recurrent.matched_units(lambda u: sized(u, options.model), recurrent.count_trainable(sized()))
        model = sized(units, options.model)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(schedule, clipnorm=settings.clipnorm), loss, metrics=["accuracy"])
        return model

    start = time.perf_counter()
    history = tfq_qrnn.distributed.fit(
        build,
        lambda epoch: splits["train"].batches(options.batch_size, seed, range(epoch, epoch + 1)),
        options.epochs,
        validation=lambda: splits["validation"].batches(options.batch_size),
        checkpoints=folder,
        save_every=options.save_every,
    )
    if not is_first:
        return
    seconds = time.perf_counter() - start
    model = history.model
    test = model.evaluate(splits["test"].batches(options.batch_size), verbose=0, return_dict=True)
    names = list(history.history)
    record = {
        "task": "distributed",
        "settings": vars(options),
        "versions": records.versions(),
        "parameters": recurrent.count_trainable(model),
        "seconds": round(seconds, 2),  # of this start; what came before a restart is not in it
        "metrics": [dict(zip(names, row, strict=True)) for row in zip(*history.history.values(), strict=True)],
        "test": test,
    }
    records.write_record(options.out, record)
    records.write(options.out / "model.keras", model.save)
    print(f"test accuracy {100 * test['accuracy']:.1f} %\n{options.out}: record.json, model.keras")


def settle(options, splits, folder, is_first):
    """Start over where that is asked for; refuse to go on with other settings or data than those of the folder.

    Every worker looks, so that none waits for another that has refused; the first one writes.
    """
    settings = {"model": options.model, "seed": options.seed, **arguments.settings(options)}
    settings = {name: value for name, value in settings.items() if name not in ("workers", "save_every")}
    settings["data"] = {name: split.digest() for name, split in splits.items()}
    if options.fresh and is_first:
        shutil.rmtree(folder, ignore_errors=True)
    records.settle(options.out, settings, fresh=options.fresh, write=is_first)


def start_workers(count, command):
    """Run this script in `count` processes of this machine; returns the exit status of the first that failed, or 0.

    Where one fails, the others get `GRACE` to say why and end; one that has not joined the cluster would wait for ever.
    """
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    hosts = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    workers = []
    for index in range(count):
        cluster = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(cluster)}
        workers.append(subprocess.Popen([sys.executable, __file__, *command], env=environment))
    status, deadline = 0, float("inf")
    try:
        while {worker.poll() for worker in workers} & {None} and time.monotonic() < deadline:  # each is asked
            time.sleep(0.1)
            failed = [worker.returncode for worker in workers if worker.returncode]
            if failed and not status:
                status, deadline = failed[0], time.monotonic() + GRACE
    finally:
        for worker in workers:
            worker.kill()
    return status or next((worker.returncode for worker in workers if worker.returncode), 0)


if __name__ == "__main__":
    main()

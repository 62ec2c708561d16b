"""What makes the tables: models of equal size, tuned alike, over several seeds; records, pages and studies of them.

tasks/      one script for each task: its data, its models, what it measures
studies/    one question each, with a script of its own
harness/    what all tasks share: options, training, runs and their records
models/     recurrent layers by name, the classical ones to compare with, encoder and decoder
data/       data sets as arrays with a fixed split
plan.py     what `make results` runs, as data; results.py runs it, report.py writes its tables into docs/results

late.py     TensorFlow loads when arguments and data were looked at

Run a script from the root of the repository: `python -m experiments.tasks.mnist --help`.
"""

import os

os.environ.setdefault("MPLBACKEND", "agg")  # pictures go into files

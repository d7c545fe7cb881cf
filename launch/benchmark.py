"""Times a training step, an evaluation and the compilation; prints one line of JSON per shape.

  python -m launch.benchmark --shape=utterance --shape=aligned

Seconds are medians, per fold and batch. `peak_rss_mb` is that of the whole process, including the
compiler. Named shapes use the paper's model (5 layers, 10 heads, width 30, batch size 24); the
shape "config" uses the corpus and model of --config. The shape "person" is one user's five clips,
by fine-tuning and by a Bayesian persona; "people" is a batch of the clips of a thousand people.
The shape "mosi" is an epoch over clips as long as those of the labels file of --config, in buckets
and padded to the longest.
Keep the machine idle, and compare numbers within one run only.
"""

import concurrent.futures
import json
import multiprocessing

import jax
import ml_collections
from absl import flags

from launch import common
from persona_jax import config as config_lib
from persona_jax.predictor import benchmark as people_benchmark
from persona_jax.study import personal_benchmark
from persona_jax.training import benchmark, epoch_benchmark

CONFIG = common.define_config()
SHAPE = flags.DEFINE_multi_enum(
  'shape',
  ['utterance', 'aligned'],
  [
    *benchmark.SHAPES,
    benchmark.OF_CONFIG,
    epoch_benchmark.MOSI,
    personal_benchmark.PERSON,
    people_benchmark.PEOPLE,
  ],
  'What to time.',
)
FOLDS = flags.DEFINE_integer(
  'folds',
  common.num_cores(),
  'Folds in one program; seconds are per fold. On a CPU the study runs one fold per core side by '
  'side, which is the default here.',
  lower_bound=1,
)
REPEATS = flags.DEFINE_integer('repeats', 10, 'Runs of which the median counts.', lower_bound=1)


def main() -> None:
  if {benchmark.OF_CONFIG, epoch_benchmark.MOSI} & set(SHAPE.value):
    config_lib.validate(CONFIG.value)
  spawn = multiprocessing.get_context(
    'spawn'
  )  # one process per shape, so that memory peaks do not add up
  with concurrent.futures.ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as pool:
    for shape in SHAPE.value:
      result = pool.submit(measure, shape, CONFIG.value.to_json(), FOLDS.value, REPEATS.value)
      print(json.dumps(result.result()), flush=True)


def measure(shape: str, config_json: str, folds: int, repeats: int) -> dict:
  config = ml_collections.ConfigDict(json.loads(config_json))
  of_many_people = shape == people_benchmark.PEOPLE  # as in `launch.predict`
  common.start_jax(config, common.num_cores() if of_many_people else folds)
  jax.config.update('jax_enable_compilation_cache', False)  # compile_s is to be a first run's
  if shape == personal_benchmark.PERSON:
    return personal_benchmark.measure(config_lib.paper(), repeats)
  if of_many_people:
    return people_benchmark.measure(config_lib.paper(), repeats)
  if shape == epoch_benchmark.MOSI:
    return epoch_benchmark.measure(config, folds, repeats)
  return benchmark.measure(shape, config, folds, repeats)


if __name__ == '__main__':
  common.run(main)

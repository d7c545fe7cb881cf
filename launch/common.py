"""What every launcher shares: the flags, and how it starts and fails."""

import ast
import gc
import logging as std_logging
import os
import pathlib
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import jax
from absl import app, flags, logging
from ml_collections import config_flags
from ml_collections.config_flags import tuple_parser
from rich import console, markdown

from persona_jax import arms
from persona_jax import config as config_lib
from persona_jax.errors import UserError
from persona_jax.predictor import people
from persona_jax.runtime import allocator, parallel, preemption
from persona_jax.types import Config

FLAGS = flags.FLAGS
CACHE = pathlib.Path('~/.cache/persona_jax/jit')
_GARBAGE_THRESHOLD = 50_000  # new objects; Python's own is 700

DEBUG = flags.DEFINE_bool('debug', False, 'Show the traceback when something is wrong.')
DEBUG_NANS = flags.DEFINE_bool(
  'debug_nans',
  False,
  'Compile nothing, and stop at the operation that makes the first NaN, with its traceback. Slow.',
)


class ListParser(tuple_parser.TupleParser):
  """Lists as people type them, baseline,fs_ua or 1,2,5, and as Python writes tuples."""

  def parse(self, argument: Any) -> tuple:
    if not isinstance(argument, str):
      return super().parse(argument)
    try:
      value = ast.literal_eval(argument.strip())
    except (SyntaxError, ValueError):  # words without quotes
      words = re.split(r'[,\s]+', argument.strip('()[], \t'))
      value = [_as_typed(word) for word in words if word]
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if any(isinstance(each, (list, dict, set)) for each in values):
      raise ValueError('expected values with commas between, such as 1,2,5 or baseline,fs_ua')
    return values


def _as_typed(word: str) -> Any:
  try:
    return ast.literal_eval(word)
  except (SyntaxError, ValueError):
    return word.strip('\'"')


config_flags.register_flag_parser_for_type(tuple, ListParser())


def define_config(default: str | None = 'configs/synthetic.py') -> flags.FlagHolder:
  """Defines --config, with every field open to override as --config.field=value."""
  try:  # the file and the fields set on the command line are read here already
    return config_flags.DEFINE_config_file(
      'config',
      default,
      'The settings: a config file, followed by ":smoke" for a run of seconds. Every field can be '
      'set on the command line, as in --config.pretrain.num_epochs=12.',
    )
  except Exception as error:  # config_flags raises whatever a config file raises
    _fail(error, '--debug' in sys.argv)


def define_workdir(default: str | None = 'runs/demo') -> flags.FlagHolder:
  return flags.DEFINE_string(
    'workdir',
    default,
    'The folder of the run: its checkpoints, records and report. Rerun the same command to resume.',
  )


def define_predictor() -> flags.FlagHolder:
  return flags.DEFINE_string(
    'predictor', 'runs/predictor', 'The folder of the predictor, from launch.train.'
  )


def define_users() -> flags.FlagHolder:
  return flags.DEFINE_string('users', 'runs/users', 'The folder with a file per person.')


def define_arm() -> flags.FlagHolder:
  return flags.DEFINE_enum(
    'arm',
    people.BAYES,
    [people.BAYES, *arms.FINE_TUNED],
    'How people are known: bayes stores a few numbers per clip and trains nothing; the others '
    'fine-tune a copy of the model.',
  )


def define_clips() -> tuple[flags.FlagHolder, flags.FlagHolder]:
  return (
    flags.DEFINE_string('clips', None, 'The CSV of clips; launch/README.md describes it.'),
    flags.DEFINE_list('only', [], 'Names of the clips to take, as video[3],video[7]; default all.'),
  )


def clips_source(clips: flags.FlagHolder, config: flags.FlagHolder) -> pathlib.Path | Config:
  """Where clips come from: the CSV, or the corpus of a config."""
  if (clips.value is None) == (config.value is None):
    raise UserError('clips: name either a CSV with --clips, or a corpus with --config.')
  return config.value if clips.value is None else pathlib.Path(clips.value)


def define_distributed() -> flags.FlagHolder:
  return flags.DEFINE_bool(
    'distributed',
    False,
    'Run as one of several processes that share the work and the workdir, as '
    'started by Slurm, Open MPI or Kubernetes.',
  )


def define_tensorboard() -> flags.FlagHolder:
  return flags.DEFINE_bool(
    'tensorboard', False, 'Log losses for TensorBoard into the folder tensorboard of the workdir.'
  )


def run(main: Callable[[], None], grace: float = 0.0) -> None:
  """Parses the flags, calls `main`, and ends a user's mistake with one sentence and exit code 1.

  Args:
    grace: seconds that `main` may take to save its work when the process is asked to stop.
  """
  logging.set_verbosity(logging.WARNING)  # --verbosity=0 shows a line an epoch
  for flag in FLAGS.get_key_flags_for_module(sys.modules[__name__]):
    FLAGS.register_key_flag_for_module(sys.argv[0], flag)  # so that --help explains it
  app.run(lambda _: _guarded(main, grace), flags_parser=_parse)


def start_jax(config: Config, side_by_side: int, distributed: bool = False) -> None:
  """Readies JAX: the compilation cache, and on a CPU one device a core for what runs side by side.

  Small tensors use one core nearly as well as two, so two folds on a device each take little more
  time than one fold over both cores.

  Args:
    side_by_side: how many folds, or shares of clips, can use a device of their own.
  """
  # Tracing makes millions of objects that stay, and takes a sixth longer if Python often looks for
  # garbage among them.
  gc.set_threshold(_GARBAGE_THRESHOLD)
  allocator.keep_freed_memory()
  if not os.environ.get('JAX_COMPILATION_CACHE_DIR'):
    jax.config.update('jax_compilation_cache_dir', str(CACHE.expanduser()))
  if distributed:
    _join()
  if 'xla_force_host_platform_device_count' not in os.environ.get('XLA_FLAGS', ''):
    num_devices = 1 if parallel.without_jit() else max(1, min(num_cores(), side_by_side))
    jax.config.update('jax_num_cpu_devices', num_devices)
  if config.quick_compile:
    jax.config.update('jax_disable_most_optimizations', True)


def num_cores() -> int:
  """The cores that this process may use."""
  return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def num_folds(config: Config) -> int:
  """How many predictors the study trains: one per held-out user or group, seed and teacher."""
  study = config.study
  held_out = study.num_groups if study.protocol == 'grouped' else study.num_users
  return (len(study.folds) or held_out) * len(config_lib.seeds(config)) * study.teachers


def _join() -> None:
  """Joins the other processes; JAX finds them in what the cluster tells its processes."""
  try:
    jax.distributed.initialize()
  except (RuntimeError, ValueError) as error:
    raise UserError(
      '--distributed: no other processes found; start this with srun, mpirun or as an '
      f'indexed Kubernetes job ({error}).'
    ) from error


def show(text: str) -> None:
  """Prints Markdown, rendered on a terminal; of several processes one does."""
  if not text or not parallel.is_primary_process():
    return
  if sys.stdout.isatty():
    console.Console().print(markdown.Markdown(text))
  else:
    print(text)


def complain(text: str) -> None:
  """Prints to the standard error, beside a result on the standard output."""
  if text:
    print(text, file=sys.stderr)


def _parse(argv: list[str]) -> list[str]:
  if {'--help', '-h', '-help'} & set(argv):
    app.usage(shorthelp=True, writeto_stdout=True)
    sys.exit(0)
  try:
    rest = FLAGS(argv)
    if len(rest) > 1:
      raise UserError(
        f'argument {rest[1]!r} is not a flag; flags start with --, and lists have commas and no '
        'spaces, such as 1,2,5; see --help.'
      )
    return rest
  except Exception as error:  # as in define_config
    _fail(error, '--debug' in argv)


def _guarded(main: Callable[[], None], grace: float) -> None:
  std_logging.getLogger('jax').setLevel(std_logging.WARNING)
  if not DEBUG.value:  # Orbax logs through absl: every file, and what it raises once more
    std_logging.getLogger('absl').setLevel(std_logging.CRITICAL)
  if DEBUG_NANS.value:  # an operation at a time, or JAX could name no more than a compiled step
    jax.config.update('jax_debug_nans', True)
    jax.config.update('jax_disable_jit', True)
  try:
    preemption.run(main, _name(), grace)
  except (UserError, OSError) as error:
    _fail(error, DEBUG.value)


def _fail(error: Exception, with_traceback: bool) -> NoReturn:
  if with_traceback:
    traceback.print_exception(error)
  else:
    print(f'{_name()}: {_sentence(error)}', file=sys.stderr)
  sys.exit(1)


def _name() -> str:
  return pathlib.Path(sys.argv[0]).stem


def _sentence(error: Exception) -> str:
  """The error on one line, without the quoting and tracebacks that config_flags wraps it in."""
  text = str(error)
  if 'Traceback (most recent call last)' in text:
    text = text.strip().splitlines()[-1].split(': ', 1)[-1]
  if isinstance(error, (AttributeError, KeyError)):
    text = 'the config has no field ' + text.replace('\\n', '. ').replace("\\'", '').replace(
      "'", ''
    )
  return ' '.join(text.split())

"""The memory of a study on an accelerator, read off its programs compiled for a CPU.

Folds and trials are vmapped and attention is cut into chunks as on accelerators, and the compiler
is asked what it set aside. XLA for CPUs fuses and lays out buffers otherwise than for GPUs: the
numbers show that nothing grows with folds or trials beyond its budget, not what a GPU will use to
the byte.
"""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType

from configs import mosi
from persona_jax.data.batching import Indices
from persona_jax.model import build as model_build
from persona_jax.model import products, softmax_attention
from persona_jax.model.build import build
from persona_jax.runtime import parallel
from persona_jax.training import fine_tune, memory, steps
from persona_jax.types import Normaliser, RaggedClips

pytestmark = pytest.mark.cpus

GB = 10**9


@pytest.fixture
def accelerator(monkeypatch):
  monkeypatch.setattr(parallel, '_loops', lambda: False)
  monkeypatch.setattr(softmax_attention, '_CHUNK_BYTES', {})
  monkeypatch.setattr(products, '_on_cpu', lambda: False)
  monkeypatch.setattr(model_build, '_build', model_build._build.__wrapped__)  # not traced before


def array(*shape: int, dtype=jnp.float32) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(shape, dtype)


def indices(*shape: int) -> Indices:
  return Indices(array(*shape, dtype=jnp.int32), array(*shape))


class StudyShapes:
  """The shapes of a study on one device; {modality: (steps, feature width)} are its clips'."""

  def __init__(self, config, num_folds: int, num_clips: int, sizes: dict[str, tuple[int, int]]):
    self._config, self._num_folds = config, num_folds
    self._mesh = jax.make_mesh(
      (1, 1), parallel.AXES, axis_types=(AxisType.Auto,) * 2, devices=jax.devices()[:1]
    )
    self._shared = steps.Shared(
      RaggedClips(
        {m: array(num_clips * steps, width) for m, (steps, width) in sizes.items()},
        {m: array(num_clips, dtype=jnp.int32) for m in sizes},
        {m: array(num_clips, dtype=jnp.int32) for m in sizes},
      ),
      array(num_clips),
    )
    widths = {m: array(width) for m, (_, width) in sizes.items()}
    number = array(dtype=jnp.int32)
    normaliser = Normaliser(widths, widths, {m: array() for m in sizes})
    self._inputs = steps.FoldInputs(number, number, normaliser, (indices(num_clips // 4),))
    self._steps = {m: most for m, (most, _) in sizes.items()}
    self._pretraining = steps.Pretraining(build(config.model), config, [self._steps])
    self._state = jax.eval_shape(self._pretraining.create_state, self._inputs, self._shared)

  def copy_bytes(self, num_clips: int) -> int:
    return memory.copy_bytes(
      self._state.params,
      self._steps,
      self._shared.clips.widths,
      num_clips,
      self._config.model,
    )

  def vmapped(self, num_trials: int, num_support: int = 5) -> int:
    assert (
      parallel.group_size(self._num_folds, self._mesh, self.copy_bytes(num_support))
      == self._num_folds
    )
    return parallel.vmapped_trials(
      num_trials, self._num_folds, self._mesh, self.copy_bytes(num_support)
    )

  def personalising(self, num_trials: int, num_user_clips: int, num_support: int = 5):
    """What the compiler says of all folds' trials of one arm's program."""
    vmapped = self.vmapped(num_trials, num_support)
    length = parallel.trials_of_a_call(num_trials, vmapped, self._mesh)
    task = fine_tune.FoldTask(
      self._state.params, self._inputs.normaliser, (indices(num_user_clips),)
    )
    trials = fine_tune.Supports(*indices(length, num_support), array(length))
    personalising = fine_tune.FineTuner(self._config, fine_tune.Recipe())
    run = parallel.over_folds(
      functools.partial(
        fine_tune.fine_tune_and_predict, personalising, self._steps, [self._steps], vmapped
      ),
      self._mesh,
    )
    return self._analysed(run, task, trials)

  def pretraining(self, part: str, num_batches: int):
    """What the compiler says of all folds' 'train_step' or 'end_epoch'."""
    batch = self._config.pretrain.batch_size
    assert (
      parallel.group_size(self._num_folds, self._mesh, self.copy_bytes(batch)) == self._num_folds
    )
    mesh = jax.make_mesh(
      (1,), (parallel.FOLD,), axis_types=(AxisType.Auto,), devices=jax.devices()[:1]
    )
    function = getattr(self._pretraining, part)
    if part == 'train_step':
      function = functools.partial(function, 0)
    run = parallel.over_folds(function, mesh, donate_state=True)
    return self._analysed(run, self._state, (self._inputs, indices(num_batches, batch)))

  def _analysed(self, run, *of_a_fold):
    stacked = jax.tree.map(lambda x: array(self._num_folds, *x.shape, dtype=x.dtype), of_a_fold)
    return run.lower(*stacked, self._shared).compile().memory_analysis()


def total(analysis) -> int:
  return (
    analysis.temp_size_in_bytes
    + analysis.argument_size_in_bytes
    + analysis.output_size_in_bytes
    - analysis.alias_size_in_bytes
  )


def papers_study() -> StudyShapes:
  """configs/mosi.py with COVAREP and Facet sequences: ten users of 2,199 clips."""
  return StudyShapes(
    mosi.get_config(), 10, 2199, dict(language=(50, 300), audio=(375, 74), vision=(500, 35))
  )


@pytest.mark.slow
def test_personalising_of_the_papers_study_fits_into_16_gb(accelerator):
  """Ten folds; 20 draws of two arms, which share a program; the user with most clips has 63."""
  assert total(papers_study().personalising(num_trials=2 * 20, num_user_clips=63)) < 16 * GB


@pytest.mark.slow
@pytest.mark.parametrize('part', ['train_step', 'end_epoch'])
def test_pretraining_of_the_papers_study_fits_into_16_gb(part, accelerator):
  """Ten folds in one program, batches of 24."""
  assert total(papers_study().pretraining(part, num_batches=64)) < 16 * GB


def small_study() -> StudyShapes:
  config = mosi.get_config()
  config.model.update(name='early_fusion', num_layers=2)
  return StudyShapes(config, 3, 200, dict(language=(50, 30), audio=(50, 7), vision=(50, 5)))


def test_memory_does_not_grow_with_trials_beyond_the_budget(accelerator, monkeypatch):
  """All 3 x 24 trials at once hold 72 x 32 clips x 10 heads of scores [153, 153]: 2 GB an array."""
  monkeypatch.setattr(parallel, 'learning_bytes', lambda: 10**8)
  monkeypatch.setattr(softmax_attention, '_ACCELERATOR_CHUNK_BYTES', 10**7)
  study = small_study()
  assert 1 < study.vmapped(num_trials=24) < 24
  assert study.personalising(24, num_user_clips=40).temp_size_in_bytes < 10**8 + 5 * 10**7


def test_the_papers_trials_are_batched_but_not_all(accelerator):
  """Estimated at 125 MB a trial: 4 of each of ten folds at a time take 5 of 6 GB."""
  study = papers_study()
  assert study.copy_bytes(5) == pytest.approx(125e6, rel=0.01)
  assert study.vmapped(num_trials=40) == 4


def test_copy_bytes_by_hand():
  """2 modalities of 10 and 20 steps, 3 and 4 features wide; width 6, one layer; 100 parameters."""
  config = mosi.get_config().model
  config.update(width=6, num_layers=1)
  lengths, sizes = dict(language=10, audio=20), dict(language=3, audio=4)
  params = {'adapter': array(5, 8), 'base': array(60)}
  frames, widths = 10 * 3 + 20 * 4, 6 * 30
  learning = 5 * (2 * frames + 130 * widths)
  assert memory.copy_bytes(params, lengths, sizes, 5, config) == 4 * (6 * 100 + learning)
  wide = dict(language=10), dict(language=3000)  # one clip to learn from, 32 predicted at a time
  assert memory.copy_bytes(params, *wide, 1, config) == 4 * (6 * 100 + 32 * (2 * 30000 + 8 * 60))

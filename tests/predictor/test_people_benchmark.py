"""What is timed of many people in one batch."""

from makers import smallest_config

from persona_jax.predictor import benchmark
from persona_jax.types import MODALITIES


def test_a_batch_of_people_is_timed_with_and_without_them(monkeypatch):
  monkeypatch.setattr(benchmark, '_USERS', 12)
  config = smallest_config()
  config.model.modalities = MODALITIES
  line = benchmark.measure(config, repeats=2)
  assert line['shape'] == 'people' and line['users'] == 12
  assert min(line['clips_per_s'], line['clips_per_s_without_people'], line['one_clip_ms']) > 0

"""What is timed of personalising to one user."""

from makers import smallest_config

from persona_jax.study import personal_benchmark
from persona_jax.types import MODALITIES


def test_a_persona_is_small_and_faster_than_fine_tuning():
  config = smallest_config()
  config.model.modalities = MODALITIES
  line = personal_benchmark.measure(config, repeats=2)
  assert line['shape'] == 'person' and line['shots'] == 5
  assert 0 < line['bayes_s'] < line['fs_ua_kd_s']
  assert abs(line['times_faster'] - line['fs_ua_kd_s'] / line['bayes_s']) < (
    0.01 * line['times_faster'] + 1
  )
  # Sums over clips for the features 1, f and the components: their products, those with the
  # target, two more; and ten numbers of the joint model.
  widest = 2 + 20
  assert 40 < line['bytes_per_person'] <= 4 * (widest * widest + widest + 2 + 10) < 4096

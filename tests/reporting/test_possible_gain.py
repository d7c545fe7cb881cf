from studies import of_maes

from persona_jax.reporting import explanations, possible_gain

ORACLE = dict(oracle_mae={'a': 0.5, 'b': 0.7})


def test_the_share_of_the_gap_that_is_closed():
  """From 1.0 to 0.6 at best; 0.9 is a quarter of the way, 1.2 half of it backwards."""
  scores = of_maes(baseline=[1, 1], fs_ua=[0.9, 0.9], fs_ua_kd=[1.1, 1.3])
  title, text = possible_gain.section(scores, ORACLE)
  assert title == '## Share of the possible gain'
  assert text == (
    'A predictor that knows every persona has MAE 0.600 on these users; the baseline has 1.000. '
    'The arms close this share of the gap: FS-UA 25%, FS-UA-KD -50%.'
  )
  *_, caveat = possible_gain.section(of_maes(baseline=[1], mean_shift=[1]), ORACLE)
  assert caveat == explanations.CAVEAT


def test_nothing_without_an_oracle_a_baseline_or_an_arm():
  both = of_maes(baseline=[1], fs_ua=[1])
  assert possible_gain.section(both, {}) == possible_gain.section(both, dict(oracle_mae=None)) == []
  assert possible_gain.section(of_maes(fs_ua=[1]), ORACLE) == []
  assert possible_gain.section(of_maes(baseline=[1]), ORACLE) == []

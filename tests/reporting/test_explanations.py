import dataclasses

from studies import of_maes

from persona_jax.reporting import explanations


def test_intervals_are_over_users_seeds_and_draws():
  assert explanations.interval_note(of_maes(fs_ua=[1, 2])) == (
    'In brackets: 95% interval of the mean over 2 users, 1 seed and 1 draw.'
  )


def test_the_family_of_the_adjusted_p_values_is_told():
  assert 'adjusted for testing 11 differences (Holm 1979)' in explanations.holm_note(11)
  assert 'adjusted for testing one difference (Holm 1979)' in explanations.holm_note(1)
  assert explanations.holm_note(2).endswith(
    'at most 0.05 is called real, the chance of even one false claim is at most 5%.'
  )


def test_the_caveat_is_where_the_mean_shift_is_compared():
  both = of_maes(baseline=[1], mean_shift=[1])
  assert explanations.caveat(both) == [explanations.CAVEAT]
  assert explanations.caveat(both, ['baseline', 'mean_shift']) == [explanations.CAVEAT]
  assert explanations.caveat(both, ['mean_shift']) == []
  assert explanations.caveat(both, ['baseline', 'fs_ua']) == []
  assert explanations.caveat(of_maes(mean_shift=[1])) == []


def test_no_caveat_where_its_shrinkage_is_of_unseen_speakers():
  both = of_maes(baseline=[1], mean_shift=[1])
  assert explanations.caveat(dataclasses.replace(both, easy_mean_shift=False)) == []

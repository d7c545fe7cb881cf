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
  assert explanations.caveat(['baseline', 'mean_shift']) == [explanations.CAVEAT]
  assert explanations.caveat(['mean_shift']) == explanations.caveat(['baseline', 'fs_ua']) == []

"""Few-shot draws: random, one-sided, and of another person."""

import numpy as np
import pytest
from makers import corpus_of
from makers import grouped_config as config_of

from persona_jax.data import draws, folds
from persona_jax.data.corpus import Corpus
from persona_jax.data.study import Study
from persona_jax.errors import UserError


def labelled(**counts) -> Corpus:
  """Every speaker's labels are -1 but for the last third, which are 1."""
  corpus = corpus_of(counts)
  for speaker, count in counts.items():
    own = np.flatnonzero(np.array(corpus.speakers) == speaker)
    corpus.labels[own] = np.where(np.arange(count) < count - count // 3, -1.0, 1.0)
  return corpus


def plan(corpus, **study) -> Study:
  config = config_of(num_groups=2, **study)
  config.pretrain.validation = 'clips'
  return Study.plan(config, corpus, None)


def test_draws_split_the_user_and_are_stable():
  study = plan(labelled(a=30, b=20, c=15))
  for case in study.folds.cases:
    few, many = (
      draws.draw_supports(study.corpus, case, config_of(num_draws=n).study, 5) for n in (2, 9)
    )
    np.testing.assert_array_equal(few.support, many.support[:2])
    for support, query in zip(many.support, many.query, strict=True):
      assert sorted([*support, *case.user.clips[query]]) == case.user.clips.tolist()
    assert len({tuple(sorted(support)) for support in many.support}) > 1
    assert not many.one_sided.any()
    capped = draws.draw_supports(study.corpus, case, config_of(num_query=4).study, 5)
    assert capped.query.shape == (2, 4)


def test_a_user_with_too_few_clips_is_refused():
  study = plan(labelled(a=30, b=20, c=15))
  with pytest.raises(UserError, match='user c has 15 clips, too few for 15 support clips'):
    draws.draw_supports(study.corpus, study.folds.cases[-1], study.config.study, 15)


def test_seeds_draw_other_clips():
  study = plan(labelled(a=30, b=20), seeds=(0, 1))
  first, second = (case for case in study.folds.cases if case.user.name == 'a')
  assert (study.draws(first).support != study.draws(second).support).any()


def test_one_sided_supports_alternate_in_sign_and_fall_back_where_there_are_too_few():
  """a has 10 positive and 20 negative clips; c has 4 positive ones of 12, too few for 5."""
  study = plan(labelled(a=30, b=20, c=12), support='one_sided', num_draws=4)
  of = {case.user.name: study.draws(case) for case in study.folds.cases}
  signs = [set(study.corpus.labels[support]) for support in of['a'].support]
  assert signs == [{1.0}, {-1.0}, {1.0}, {-1.0}] and of['a'].one_sided.all()
  assert of['c'].one_sided.tolist() == [False, True, False, True]
  for case in study.folds.cases:
    for support, query in zip(of[case.user.name].support, of[case.user.name].query, strict=True):
      assert sorted([*support, *case.user.clips[query]]) == case.user.clips.tolist()


def test_another_persons_clips_are_of_the_same_fold_and_the_query_is_unchanged():
  corpus = labelled(a=30, b=20, c=15, d=14)
  own, other = (plan(corpus, support_from=origin, num_draws=9) for origin in ('own', 'other'))
  for case in other.folds.cases:
    drawn = other.draws(case)
    np.testing.assert_array_equal(drawn.query, own.draws(case).query)
    for support in drawn.support:
      (speaker,) = {corpus.speakers[clip] for clip in support}
      assert speaker != case.user.name
      assert speaker in {user.name for user in case.fold.users}
      assert len(set(support)) == 5


def test_a_user_alone_in_a_group_has_nobody_to_borrow_from():
  study = plan(labelled(a=30, b=20), support_from='other')
  with pytest.raises(UserError, match="user a is alone in group_00_seed_0.*'other' finds nobody"):
    study.draws(study.folds.cases[0])


def test_fewer_shots_are_the_first_clips_of_more():
  corpus = labelled(a=30, b=20)
  five, ten = (plan(corpus, shots=shots) for shots in ((5,), (5, 10)))
  for case in ten.folds.cases:
    np.testing.assert_array_equal(ten.draws(case).support[:, :5], five.draws(case).support)
  assert folds.MIN_QUERY == 5

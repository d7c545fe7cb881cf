from persona_jax.reporting import provenance


def test_fields_belong_to_the_first_stage_that_depends_on_them():
  assert provenance.stage('pretrain.learning_rate') == provenance.TRAINING
  assert provenance.stage('adapt.num_steps') == provenance.PERSONALISING
  assert [provenance.stage(field) for field in ('seed', 'study.arms', 'data.root')] == [None] * 3


def test_differing_fields_are_named_with_both_values():
  first = dict(data=dict(root='/a', seed=1), seed=0, only=2)
  second = dict(data=dict(root='/b', seed=2), seed=0)
  assert provenance.differing_fields(first, second) == {
    'data.seed': ('1', '2'),
    'only': ('2', 'unknown'),
  }
  assert 'data.seed' not in provenance.differing_fields(first, second, ignored={'data.seed'})

import numpy as np

from persona_jax.reporting import model_figures


def curve(user, *losses):
  return [
    dict(user=user, seed=0, epoch=epoch, train=train, valid=valid)
    for epoch, (train, valid) in enumerate(losses, start=1)
  ]


def test_learning_curves_mark_the_best_epoch():
  curves = curve('$x$', (2, 1.5), (1, 1.25), (0.5, 1.4)) + curve('山', (2, 1.5))
  first, second = model_figures.learning(curves).figure.axes
  train, valid, best = first.lines
  assert list(train.get_ydata()) == [2, 1, 0.5] and list(valid.get_ydata()) == [1.5, 1.25, 1.4]
  assert (best.get_xdata(), best.get_ydata()) == (2, 1.25)
  assert [axes.get_title() for axes in (first, second)] == ['$x$, seed 0', r'\u5c71, seed 0']
  assert model_figures.learning([]) is None
  assert model_figures.learning(curves).caption.endswith('named after the held-out speaker.')


def test_folds_of_groups_are_named_after_their_group():
  figure, caption = model_figures.learning(curve('group 3', (2, 1.5)), grouped=True)
  assert figure.axes[0].get_title() == 'group 3, seed 0'
  assert caption.endswith('named after the held-out group of speakers.')


def test_many_folds_are_drawn_as_their_spread():
  """Of 21 folds whose losses are 0 to 20, plus the epoch."""
  curves = [
    row
    for fold in range(21)
    for row in curve(f'u{fold}', (fold + 1, fold - 1), (fold + 2, fold - 2))
  ]
  figure, caption = model_figures.learning(curves)
  (axes,) = figure.axes
  train, valid = axes.lines
  assert [list(line.get_ydata()) for line in (train, valid)] == [[11, 12], [9, 8]]
  band = axes.collections[0].get_paths()[0].vertices
  assert {(x, y) for x, y in band.tolist()} == {(1, 3), (1, 19), (2, 4), (2, 20)}  # folds 2 and 18
  assert '21 folds' in caption
  assert len(model_figures.learning(curves[:40]).figure.axes) == 20


def test_attention_is_drawn_by_modality_before_and_after():
  before, after = [[0.25, 0.75]], [[1.0, 0.0]]
  maps = dict(
    arm='fs_ua',
    clip='ann[3]',
    before=dict(audio=before, vision=after),
    after=dict(audio=after, vision=before),
  )
  axes = model_figures.attention(maps).figure.axes
  shown = [each.images[0].get_array().tolist() for each in axes[:4]]
  assert shown == [before, after, after, before]
  assert [each.get_title() for each in axes[:2]] == ['Baseline', 'FS-UA']
  assert {each.images[0].get_clim() for each in axes[:4]} == {(0, 1)}  # one scale for all
  assert np.shape(axes[0].images[0].get_array()) == (1, 2)
  assert model_figures.attention(None) is None

"""The controls beside a study, by numbers made by hand."""

from studies import CONFIG, GROUPED, of_maes, sections, text, write

from persona_jax import files
from persona_jax.reporting import controls

OWN = of_maes(baseline=[1, 1], calibrated=[0.875, 0.875], joint=[0.5, 0.5], fs_ua=[0.75, 0.75])
OTHER = of_maes(baseline=[1, 1], calibrated=[0.875, 0.875], joint=[1.25, 1], fs_ua=[1.5, 1.5])
TOLD = of_maes(baseline=[1, 1], calibrated=[0.875, 0.875], joint=[0.75, 0.75])


def test_differences_stand_side_by_side_with_the_harmed():
  title, _, explained, _, baseline, _, calibrated, note = controls.section(
    OWN, dict(other=OTHER, one_sided_told=TOLD)
  )
  assert title == '## Controls'
  assert baseline.splitlines() == [
    "| arm | own clips, at random | another person's | of one sign, told so |",
    '| --- | --- | --- | --- |',
    '| Joint Bayes | -0.500 [-0.500, -0.500], 0 harmed | +0.125 [+0.000, +0.250], 1 harmed | '
    '-0.250 [-0.250, -0.250], 0 harmed |',
    '| FS-UA | -0.250 [-0.250, -0.250], 0 harmed | +0.500 [+0.500, +0.500], 2 harmed | – |',
  ]
  assert '| Joint Bayes | -0.375 [-0.375, -0.375], 0 harmed | +0.250 [+0.125, +0.375], 2 harm' in (
    calibrated
  )
  assert len(explained.splitlines()) == 2 and 'worse by more than 0.05' in note


def test_without_controls_or_without_a_reference_there_is_nothing():
  assert controls.section(OWN, {}) == []
  assert controls.section(of_maes(joint=[1]), dict(other=of_maes(joint=[1]))) == []


def test_the_report_finds_the_controls_of_its_workdirs(tmp_path):
  workdir = write(tmp_path / 'a', ('baseline', 'fs_ua'), config=GROUPED)
  assert '## Controls' not in text(workdir)
  write(workdir / files.CONTROLS / 'other', ('baseline', 'fs_ua'), gain=-0.5, config=CONFIG)
  assert "| another person's |" in sections(text(workdir))['Controls']

import json
import subprocess
import sys

from configs import synthetic
from persona_jax import workdir as work
from persona_jax.data import corpus as data_corpus


def test_corpus_file_is_of_the_studys_users_wherever_they_rank(tmp_path):
  corpus = data_corpus.load(synthetic.get_config('smoke'))
  later = [user for user, _ in data_corpus.users_by_clips(corpus)[2:4]]
  work.write_corpus(tmp_path, corpus, later)
  written = json.loads((tmp_path / 'corpus.json').read_text())
  assert list(written['users']) == list(written['oracle_mae']) == later
  assert written['users'][later[0]] == corpus.speakers.count(later[0])


def test_reporting_runs_without_jax():
  """Design: metrics and reporting never import jax."""
  code = ('import sys; import persona_jax.reporting.summaries, persona_jax.reporting.tables; '
          'import persona_jax.evaluation.metrics; sys.exit("jax" in sys.modules)')
  assert subprocess.run([sys.executable, '-c', code]).returncode == 0

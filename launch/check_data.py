"""Shows what is in the feature files, what was left out and why, and whether a study can run.

python -m launch.check_data --config=configs/mosi.py --config.data.root=DIR
"""

import pathlib

from absl import flags

from launch import common
from persona_jax import files
from persona_jax.data import checksums, loading, own_clips
from persona_jax.errors import UserError
from persona_jax.reporting import data_check
from persona_jax.study import readiness

CONFIG = common.define_config()
CLIPS = flags.DEFINE_string(
  'clips', None, "A folder for each speaker's clips, as CSV files that launch.adapt reads."
)
JSON = flags.DEFINE_string(
  'json', None, 'A file for all facts as JSON; "-" prints them instead of the tables.'
)
SHA256SUMS = flags.DEFINE_string(
  'sha256sums', None, 'A file that sha256sum wrote: first compares the files in config.data.root.'
)


def main() -> None:
  show = (lambda text: None) if JSON.value == '-' else common.show
  if SHA256SUMS.value:
    root = pathlib.Path(CONFIG.value.data.get('root', ''))
    sums = pathlib.Path(SHA256SUMS.value)
    show(data_check.verified(sums, checksums.verify(sums, root)))
  inspection, problem = readiness.inspect(CONFIG.value)
  show(data_check.markdown(inspection, problem))
  if JSON.value == '-':
    print(data_check.as_json(inspection, problem), end='')
  elif JSON.value:
    files.write_text(pathlib.Path(JSON.value), data_check.as_json(inspection, problem))
  if CLIPS.value:
    own_clips.write_speakers(pathlib.Path(CLIPS.value), loading.load(CONFIG.value))
  if problem:
    raise UserError(f'a study of this data cannot run: {problem}')


if __name__ == '__main__':
  common.run(main)

"""Writes a corpus as one file, which loads faster and need not fit into memory.

python -m launch.convert --config=configs/mosi.py --config.data.root=DIR --output=mosi.h5
"""

import pathlib

from absl import flags

from launch import common
from persona_jax import config as config_lib
from persona_jax import data, targets
from persona_jax.data import loading
from persona_jax.data.corpus import Corpus
from persona_jax.errors import UserError
from persona_jax.runtime import preemption
from persona_jax.types import MODALITIES, Config

CONFIG = common.define_config()
OUTPUT = flags.DEFINE_string('output', 'corpus.h5', 'The file to write; it must not exist.')


def main() -> None:
  config, output = CONFIG.value, pathlib.Path(OUTPUT.value)
  config_lib.validate(config)
  _expect_new(output)
  corpus = loading.load(config)
  _expect_new(output)  # also when loading took long
  data.save_corpus(corpus, output, config)
  common.show(_told(corpus, output, config))


def _expect_new(output: pathlib.Path) -> None:
  if output.exists():
    raise UserError(f'{output}: exists; remove it, or name another file with --output.')
  if not output.parent.is_dir():
    raise UserError(f'{output}: its folder does not exist; make it, or name another with --output.')


def _told(corpus: Corpus, output: pathlib.Path, config: Config) -> str:
  """What was written, and the flags that use it."""
  flags_of_file = [f'--config.data.root={output.parent}', f'--config.data.file={output.name}']
  target, modalities = targets.of(config), tuple(corpus.clips.frames)
  if target.is_emotion:
    flags_of_file.append(f'--config.data.target={target.name}')
  if modalities != MODALITIES:
    flags_of_file.append(f'--config.model.modalities={",".join(modalities)}')
  return (
    f'{output}: {len(corpus.names)} clips of {len(set(corpus.speakers))} speakers, '
    f'{output.stat().st_size} bytes; left out: {len(corpus.left_out)} clips.\n\n'
    f'Use it with `--config=configs/mosi.py {" ".join(flags_of_file)}`.'
  )


if __name__ == '__main__':
  common.run(main, grace=preemption.GRACE)

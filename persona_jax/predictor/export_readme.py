"""The README of an exported predictor."""

from persona_jax.arms import NAMES
from persona_jax.predictor.predictor import Predictor

_BAYES = """
`mean` is the sentiment from -3 to 3, `low` and `high` its central 90 % interval. `nobody.npz` gives
what the predictor says of anybody; the other `.npz` files are people. A row of a person is a
labelled clip: `read.bin` gives its `predictions` and `components`, to which come the label,
`chosen` (1 if the clip was picked because of its label) and a weight of 1.
"""

_FINE_TUNED = """
`mean` is the sentiment from -3 to 3. The `.npz` files are people by the arm {arm}: the parameters
that fine-tuning changed, by their names in the model. A network of user tokens is stored as its
output alone, `adapter/*_tokens/output/bias`.
"""


def bayes(predictor: Predictor) -> str:
  """Of a folder with people of the arm `bayes`."""
  return _text(predictor, 'nobody', 'mean, low, high', _BAYES)


def fine_tuned(predictor: Predictor, arm: str, person: str) -> str:
  """Of a folder with people of an arm that fine-tunes.

  Args:
    predictor: that is exported.
    arm: by which the people are known.
    person: the name of a person's file, without its ending.
  """
  return _text(predictor, person, 'mean', _FINE_TUNED.format(arm=NAMES[arm]))


def _text(predictor: Predictor, person: str, returned: str, about: str) -> str:
  steps, widths = predictor.steps, predictor.widths
  shapes = '\n'.join(f'| `{m}` | {steps[m]} | {width} |' for m, width in widths.items())
  return f"""# An exported predictor

It runs with `pip install jax numpy flatbuffers` alone, on CPUs and CUDA:

```python
import jax, numpy as np
from jax import export

predict = export.deserialize(open('predict.bin', 'rb').read())
steps, widths = {dict(steps)}, {dict(widths)}
clips = {{m: np.zeros((3, steps[m], widths[m]), np.float32) for m in steps}}  # features of 3 clips
masks = {{m: np.ones((3, steps[m]), bool) for m in steps}}  # True where a frame exists
person = dict(np.load({f'{person}.npz'!r}))
{returned} = jax.jit(predict.call)(clips, masks, person)
print(np.asarray(mean))
```

Sequences are as in the files that the predictor was trained on, padded or cut to these steps:

| modality | steps | width |
| --- | --- | --- |
{shapes}
{about}
`weights.safetensors` has the parameters of the model before any personalisation, by their names,
such as `adapter/language_projection/kernel`.
"""

import pytest

from persona_jax.evaluation import statistics


@pytest.fixture(scope='package', autouse=True)
def few_samples():
  """Intervals take most of a report's time; `evaluation` tests them with all samples."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(statistics, '_SAMPLES', 50)
    yield

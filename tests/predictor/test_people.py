"""A folder of people: a file of its own for any name, and only the files that are asked for."""

import os

import numpy as np
import pytest
from strangers import adapted, clips_of, of_speaker

from persona_jax.data.own_clips import OwnClips
from persona_jax.errors import UserError
from persona_jax.predictor import adaptation, tensor_files
from persona_jax.predictor.people import People


def test_any_name_makes_a_file_of_its_own_in_the_folder(tmp_path):
  people = People(tmp_path)
  names = ['ann', 'Ann', 'ann.bayes', '../ann', 'a/b', '.', '..', 'é☃', 'a b', '%2E']
  paths = [people.path(name) for name in names]
  assert len(set(paths)) == len(names) and {path.parent for path in paths} == {tmp_path}
  with pytest.raises(UserError, match='a clip has no user'):
    people.path('')


def test_of_many_people_only_those_of_the_clips_are_opened(
  predictor, strangers, tmp_path, monkeypatch
):
  """Two of 20,000; the other files are empty, and reading one would be refused."""
  for number in range(20_000):
    os.close(os.open(People(tmp_path).path(f'user {number}'), os.O_CREAT))
  people, names = People(tmp_path), ['user 7', 'user 19999']
  own = [of_speaker(strangers, number) for number in range(2)]
  for name, places in zip(names, own, strict=True):
    with people.changing(name) as path:
      adapted(predictor, strangers, places[:5]).save(path)
  places = np.concatenate([places[5:8] for places in own])
  clips = OwnClips(
    tuple(strangers.names[place] for place in places),
    tuple(names[0] if place in own[0] else names[1] for place in places),
    strangers.labels[places],
    clips_of(strangers, places),
    {},
  )
  opened, read = [], tensor_files.read
  monkeypatch.setattr(
    tensor_files, 'read', lambda path, *of: opened.append(path) or read(path, *of)
  )
  for listing in ('listdir', 'scandir'):
    monkeypatch.setattr(os, listing, lambda *_: pytest.fail('the folder is listed'))
  table = adaptation.predictions(predictor, People(tmp_path), clips)
  assert opened == [people.path(name) for name in names] and table['known'] == [1] * 6

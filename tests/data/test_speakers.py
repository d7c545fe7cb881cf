import pytest

from persona_jax.data.speakers import speakers_of
from persona_jax.errors import UserError

VIDEOS = {'va', 'vb', 'vc'}


@pytest.fixture
def told(tmp_path):
  """What a CSV of this content says of the videos."""

  def read(content):
    path = tmp_path / 'who.csv'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return speakers_of(VIDEOS, path)

  return read


def test_videos_are_joined_by_speaker(told):
  assert told('video,speaker\nva,ann\nvb,bob\nvc,ann\n') == (
    {'va': 'ann', 'vb': 'bob', 'vc': 'ann'},
    '2 speakers in 3 videos, from who.csv.',
  )


def test_without_a_file_every_video_is_a_speaker():
  speaker_of, note = speakers_of({'va', 'vb'}, None)
  assert speaker_of == {'va': 'va', 'vb': 'vb'} and 'every video counts as a speaker (2)' in note


def test_one_person_is_one_speaker_however_the_name_is_typed(told):
  """Space around it, an accent of its own, a byte order mark, lines given twice, empty ones."""
  speaker_of, _ = told(
    '\ufeffvideo, speaker\nva,Zo\u00e9 \nvb, Zoe\u0301\n\nvc,"Zo\u00e9"\r\nvb,Zo\u00e9\n'
  )
  assert set(speaker_of.values()) == {'Zo\u00e9'}


def test_a_comma_in_a_name_is_kept(told):
  assert told('video,speaker\nva,"Doe, Jane"\nvb,b\nvc,c\n')[0]['va'] == 'Doe, Jane'


@pytest.mark.parametrize(
  'content, said',
  [
    (
      'video,speaker\nva,ann\nvb,b\nvc,c\nva,eve\n',
      "who.csv, line 5: video 'va' is of speaker 'eve', and in line 2 of 'ann'",
    ),
    ('video,speaker\nva,ann\n', r'who.csv: no speaker for video vb \(and 1 more\)'),
    ('video,speaker\nva,\n', 'who.csv, line 2: .* is not a video and a speaker'),
    ('video,speaker\nva\n', 'who.csv, line 2: .* is not a video and a speaker'),
    ('video,speaker\nva,ann,5\n', 'who.csv, line 2: .* is not a video and a speaker'),
    ('video,speaker\nva,"ann\nlee"\n', 'who.csv, line 3: .*lee.* holds characters that'),
    ('clip,who\nva,ann\n', r"who.csv: header \['clip', 'who'\], expected video,speaker"),
    ('', r'who.csv: header \[\], expected video,speaker'),
    ('video,speaker\nva,Zoé\n'.encode('latin-1'), 'who.csv: not UTF-8 text .* at byte'),
    ('video,speaker\nva,"ann\n', 'who.csv, line 2: not CSV'),
  ],
)
def test_what_cannot_be_used_is_named(content, said, told):
  with pytest.raises(UserError, match=said):
    told(content)


def test_an_absent_file_is_named(tmp_path):
  with pytest.raises(UserError, match='nowhere.csv: not readable .No such file'):
    speakers_of(VIDEOS, tmp_path / 'nowhere.csv')

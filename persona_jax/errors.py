"""The exception for a user's mistake; its text is the whole message."""


class UserError(ValueError):
  """Bad input.

  The text is one sentence: the file, clip or field, what was expected, and what to do.
  """

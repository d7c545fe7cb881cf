"""The one exception that a user's mistake raises: its text is the whole message."""


class UserError(ValueError):
  """Bad input: one sentence that names the file, clip or field, what was expected, what to do."""

"""What people and their tools are shown: status, events, explanations, history.

Everything here reads the store's record through `ports.StatusReader`, never Docker, and formats it: the same record
gives the same text. Nothing here decides, computes a verdict anew, or prints what a spec's environment or files hold.
"""


class BadRequest(Exception):
    """What was asked for makes no sense; the message says what would."""

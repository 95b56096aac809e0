"""Pure decisions: observation and state in, plan out.

Nothing here reads a clock, a file or a socket, logs, or draws a random number: `now` is a value. `plan` is the one
parent that branches; everything it calls answers one question and could be read alone.
"""

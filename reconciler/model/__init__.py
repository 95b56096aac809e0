"""The values everything else is written in: no I/O, no clock, no decisions.

``spec`` is what people write, ``desired`` what a revision asks for, ``observed`` what the world reported,
``state`` what must survive a restart, ``plan`` what a tick decided. All values are frozen.
"""

"""Files of the source that ask for no app: mistakes where an app came from them, and otherwise worth a notice.

An app goes when its file is removed, or its document out of a file that has others left. A file that was emptied,
commented out or given another ending says nothing of the kind, so its apps are kept by their last good specs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reconciler.model.desired import Blank, Desired, Problem
from reconciler.model.state import State


def judged(desired: Desired, state: State) -> Desired:
    """The desired state with every blank file told of: as a problem of each app that came from it, or in a notice."""
    if not desired.blanks:
        return desired
    problems: list[Problem] = []
    notices: list[str] = []
    for blank in desired.blanks:
        if apps := _taken_from(blank, desired, state):
            problems += [_problem(blank, name) for name in apps]
        else:
            notices.append(f"{blank.path} asks for no app: found {blank.found}; expected {blank.expected}")
    every = sorted((*desired.problems, *problems), key=lambda problem: (problem.path, problem.line or 0))
    return replace(desired, problems=tuple(every), notices=(*desired.notices, *notices))


def _taken_from(blank: Blank, desired: Desired, state: State) -> Sequence[str]:
    """The apps that are known, came from this file, and that no other file asks for."""
    known = {name for name, app in state.apps.items() if name in blank.held or app.version.path == blank.spec_path}
    return sorted(known - desired.apps.keys())


def _problem(blank: Blank, app_name: str) -> Problem:
    expected = f"{blank.expected} (app {app_name} came from it)"
    return Problem(blank.path, None, "", blank.found, expected, app_name)

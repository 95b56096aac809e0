"""Lists of actions and of revisions, as tables and as JSON."""

from __future__ import annotations

from reconciler.model.desired import Problem
from reconciler.model.recorded import ActionRecord, RevisionRecord
from reconciler.report.actions import action_document, action_table
from reconciler.report.revisions import revision_document, revision_table
from tests.support.golden import assert_golden
from tests.support.records import NOW

REFUSED = ActionRecord(
    "web",
    "create",
    "web-2",
    "2 replicas wanted, 1 there",
    NOW,
    NOW + 0.25,
    "failed",
    "AddressTaken",
    "10.0.0.3 is taken",
)
ACTIONS = (
    ActionRecord("web", "start", "web-1", "it has stopped", NOW + 300),
    ActionRecord("api", "remove", "api-1", "surplus: 1 replica wanted, 2 there", NOW + 60, NOW + 150, "done"),
    ActionRecord("web", "pull", "image demo:2 of web", "not on the host", NOW + 30, NOW + 42, "done"),
    REFUSED,
    ActionRecord("web", "take over", "web-1", "it crashes in a loop", NOW - 60, NOW, "interrupted"),
)
PROBLEM = Problem("web.yaml", 3, "spec.image", "nothing", "an image", "web")
REVISIONS = (
    RevisionRecord("1f2e3d4c5b6a79880123456789abcdef01234567", NOW + 60),
    RevisionRecord("dir-51fbdf6dacac", NOW, ("uncommitted changes are ignored",), (PROBLEM,)),
)


def test_the_table_of_actions_says_what_came_of_each() -> None:
    assert_golden("reports/actions.txt", action_table(ACTIONS) + "\n")


def test_the_table_of_revisions_says_what_was_wrong_with_each() -> None:
    assert_golden("reports/revisions.txt", revision_table(REVISIONS) + "\n")


def test_an_action_as_json_is_plain() -> None:
    assert action_document(REFUSED) == {
        "app": "web",
        "verb": "create",
        "target": "web-2",
        "cause": "2 replicas wanted, 1 there",
        "planned_at": "2027-01-15T08:00:00.000Z",
        "finished_at": "2027-01-15T08:00:00.250Z",
        "took_seconds": 0.25,
        "outcome": "failed",
        "reason": "AddressTaken",
        "message": "10.0.0.3 is taken",
    }


def test_how_long_an_action_took_is_unknown_while_it_is_under_way_and_where_nobody_saw_its_end() -> None:
    assert [action_document(record)["took_seconds"] for record in ACTIONS] == [None, 90.0, 12.0, 0.25, None]


def test_a_revision_as_json_is_plain() -> None:
    assert revision_document(REVISIONS[1]) == {
        "revision": "dir-51fbdf6dacac",
        "applied_at": "2027-01-15T08:00:00.000Z",
        "problems": [
            {
                "app": "web",
                "path": "web.yaml",
                "line": 3,
                "field": "spec.image",
                "found": "nothing",
                "expected": "an image",
                "message": "web.yaml:3: spec.image: found nothing; expected an image",
            }
        ],
        "notices": ["uncommitted changes are ignored"],
    }


def test_escape_sequences_pass_neither_as_an_engines_message_nor_as_a_problem() -> None:
    refused = ActionRecord("web", "create", "web-2", "\x1b[31m", NOW, NOW, "failed", "X", "\x1b]0;owned\x07")
    odd = RevisionRecord("one", NOW, ("\x9b31m",), (Problem("\x1b[2J.yaml", 1, "", "x", "y"),))
    assert not {"\x1b", "\x07", "\x9b"} & {*action_table([refused]), *revision_table([odd])}

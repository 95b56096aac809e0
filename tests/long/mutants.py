"""The run behind ``tests/long/mutants``: makes the sample, holds the tests against each mutant, tells which survived.

A mutant is the code with one small mistake in it: another operator, another number, a condition turned round. The
sample takes one of each place in the code at the most, and stays the same where code elsewhere changes. Left out is
what decides nothing: annotations, decorators, ``is`` for ``==`` (all values here are the same by either), and texts,
which the tool leaves alone and the golden files hold.

A survivor that no test could or should notice is explained in ``mutants.txt``: its module, the line before and after as
the report tells them, and the reason.
"""

from __future__ import annotations

import ast
import os
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_and_test, mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkItem, WorkResult

MOST_SURVIVING_PERCENT = 15
SECONDS_PER_TEST = 60
SECONDS_PER_MUTANT = 1200

CODE = Path("reconciler/decide")
EXPLAINED = Path(__file__).with_suffix(".txt")
# Tests of decisions: whatever in tests/unit names one of these.
SUBJECTS = (
    "reconciler.decide",
    "tests.support.stage",
    "tests.support.story",
    "tests.support.upgrade",
    "tests.scenarios",
    "tests.simulation",
)
# Kills most, in three seconds; so it comes first, and alone.
FIRST = "tests/unit/test_golden_plans.py"

# Module, what was removed, what was added: enough to know a mutant again when lines have moved.
Change = tuple[str, tuple[str, ...], tuple[str, ...]]


def main(tree: str, session: str, python: str) -> int:
    seed, count = os.environ.get("SEED", "1"), int(os.environ.get("COUNT", "400"))
    command = tests_by(str(Path(python).absolute()))
    os.chdir(tree)
    unharmed = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
    if unharmed.returncode:
        print(unharmed.stdout, "The tests fail without any mistake.", sep="\n", file=sys.stderr)
        return 1
    with use_db(session) as db:
        if not db.num_work_items:
            init(sorted(CODE.rglob("*.py")), db, {})
            taken = sample(db.work_items, seed, count)
            db.clear()
            db.add_work_items(taken)
        run(db, command)
        return report(db, seed)


def tests_by(python: str) -> str:
    """The command that runs them, the same way each time, until one fails."""
    options = f"-x -q --tb=line --timeout={SECONDS_PER_TEST} --hypothesis-profile=ci -p no:randomly -p no:cacheprovider"
    pytest = f"{python} -m pytest {options} -m 'not slow'"
    others = " ".join(str(path) for path in sorted(Path("tests/unit").glob("test_*.py")) if _is_about_decisions(path))
    return shlex.join(["sh", "-c", f"{pytest} {FIRST} && {pytest} {others} --deselect {FIRST}"])


def _is_about_decisions(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return any(subject in text for subject in SUBJECTS)


# -- the sample -----------------------------------------------------------------------------------------------------


def sample(items: Iterable[WorkItem], seed: str, count: int) -> list[WorkItem]:
    """In an order that depends on nothing but the seed and the mutant's own line."""
    sources = {path: path.read_text(encoding="utf-8") for path in CODE.rglob("*.py")}
    meanings = {path: _meaning(source) for path, source in sources.items()}
    taken: dict[object, WorkItem] = {}
    for item in sorted(items, key=lambda item: _rank(item.mutations[0], sources, seed)):
        if len(taken) == count:
            break
        mutation = item.mutations[0]
        place = mutation.module_path, mutation.start_pos, mutation.end_pos
        if place not in taken:
            mutated = _meaning(_mutated(mutation, sources[mutation.module_path]))
            if mutated not in (None, meanings[mutation.module_path]):
                taken[place] = item
    return list(taken.values())


def _rank(mutation: MutationSpec, sources: dict[Path, str], seed: str) -> str:
    row, column = mutation.start_pos
    line = sources[mutation.module_path].splitlines()[row - 1].strip()
    # Which of several mutants by the same operator at the same place counts too: a number is made larger or smaller.
    key = (seed, mutation.module_path.name, mutation.definition_name, line, column, mutation.operator_name)
    return sha256(repr((*key, mutation.occurrence % 2)).encode()).hexdigest()


def _mutated(mutation: MutationSpec, source: str) -> str:
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    return mutate_code(source, operator, mutation.occurrence) or source


def _meaning(source: str) -> str | None:
    """The code without what decides nothing; None where it is no code."""
    try:
        return ast.dump(_Bare().visit(ast.parse(source)))
    except SyntaxError:
        return None


class _Bare(ast.NodeTransformer):
    """Takes annotations and decorators out of the code, and makes no difference between identity and equality."""

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.Is | ast.IsNot):
            return ast.Eq() if isinstance(node, ast.Is) else ast.NotEq()
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                setattr(node, name, ast.Constant(None))
        if hasattr(node, "decorator_list"):
            node.decorator_list = []
        return self.generic_visit(node)


# -- the run --------------------------------------------------------------------------------------------------------


def run(db: WorkDB, command: str) -> None:
    for item in sorted(db.pending_work_items, key=lambda item: item.job_id):
        result = mutate_and_test(item.mutations, command, SECONDS_PER_MUTANT)
        db.set_result(item.job_id, result)
        print(f"{db.num_results} of {db.num_work_items}: {_verdict(result)}", file=sys.stderr, flush=True)
        if _verdict(result) == "survived":
            print(_shown(result), file=sys.stderr, flush=True)


def _verdict(result: WorkResult) -> str:
    if result.test_outcome is TestOutcome.INCOMPETENT:
        raise SystemExit(f"a mutant could not be tested:\n{result.output}")
    if result.test_outcome is TestOutcome.SURVIVED:
        return "survived"
    output = result.output or ""
    return "timed out" if output == "timeout" or "from pytest-timeout" in output else "killed"


# -- the report -----------------------------------------------------------------------------------------------------


def report(db: WorkDB, seed: str) -> int:
    """The table, then the survivors; 1 where too many survived, or one that nobody has explained."""
    reasons = explained()
    by_module: dict[str, Counter[str]] = {}
    unexplained = []
    for item, result in sorted(db.completed_work_items, key=lambda pair: _at(pair[0])):
        verdict, counts = _verdict(result), by_module.setdefault(_module(item), Counter())
        counts.update(("mutants", verdict))
        if verdict == "survived" and change_of(result) in reasons:
            counts["explained"] += 1
        elif verdict == "survived":
            unexplained.append(result)
    total = sum(by_module.values(), Counter())
    columns = ("mutants", "killed", "timed out", "survived", "explained")
    print(f"{'SEED=' + seed:34}", *(f"{column:>9}" for column in columns))
    for module, counts in (*sorted(by_module.items()), ("all", total)):
        print(f"{module:34}", *(f"{counts[column] or '':>9}" for column in columns))
    for result in unexplained:
        print("", _shown(result), sep="\n")
    percent = 100 * total["survived"] / total["mutants"]
    print(f"\n{percent:.1f} % survived, {len(unexplained)} of them without an explanation.")
    return 1 if unexplained or percent > MOST_SURVIVING_PERCENT else 0


def _module(item: WorkItem) -> str:
    return str(item.mutations[0].module_path.relative_to(CODE))


def _at(item: WorkItem) -> tuple[str, tuple[int, int]]:
    return _module(item), item.mutations[0].start_pos


def _shown(result: WorkResult) -> str:
    """As `mutants.txt` has it."""
    module, removed, added = change_of(result)
    return "\n".join((module, *(f"- {line}" for line in removed), *(f"+ {line}" for line in added)))


def change_of(result: WorkResult) -> Change:
    lines = (result.diff or "").splitlines()
    module = next(line.removeprefix("--- a/") for line in lines if line.startswith("--- a/"))
    return module, tuple(_marked("-", lines)), tuple(_marked("+", lines))


def _marked(mark: str, lines: Iterable[str]) -> Iterator[str]:
    return (line[1:].strip() for line in lines if line.startswith(mark) and not line.startswith(mark * 3))


def explained() -> dict[Change, str]:
    """The survivors that were looked into, with the reason why each stays."""
    reasons = {}
    for block in EXPLAINED.read_text(encoding="utf-8").split("\n\n"):
        module, *lines = [line for line in block.splitlines() if not line.startswith("#")] or [""]
        if module:
            change = module, tuple(_marked("-", lines)), tuple(_marked("+", lines))
            reasons[change] = " ".join(line for line in lines if line[0] not in "-+")
    return reasons


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Mutation tests of the heart and of training: do the tests notice a small mistake in the code?

    make mutants                                            220 mutants
    scripts/mutants.py --only "training/objectives/*"       of those files alone

cosmic-ray makes the mutants: another operator, a number one off, a condition turned round, a loop that does nothing. A
run of the tests with coverage says which of them reach which line. Then every mutant of the sample is written into a
copy of src/, and the tests that reach it run until one fails. docs/mutants.md lists survivors that are known.
"""

import argparse
import ast
import difflib
import hashlib
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import coverage
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

FORKS = multiprocessing.get_context("forkserver")
"""Where torch and pytest are imported once, and presage never"""
ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "presage"
MUTATED = ("timeline", "training")
TESTS = ("tests/timeline", "tests/training", "tests/networks/test_base.py", "tests/networks/test_packed.py",
         "tests/policy/test_heads.py", "tests/golden")  # fmt: skip
LEFT_OUT = ("test_guards.py", "test_killed.py", "test_robots.py", "test_wan_training.py")
"""They read the source, start processes, or train whole robots."""
OPERATORS = re.compile(
    "ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_Div|Div_Mul|FloorDiv_Mul|Mod_FloorDiv|Pow_Mul|BitAnd_BitOr|BitOr_BitAnd)"
    "|ReplaceComparisonOperator_(Eq_NotEq|NotEq_Eq|Lt_LtE|Lt_GtE|LtE_Lt|LtE_Gt|Gt_GtE|Gt_LtE|GtE_Gt|GtE_Lt"
    "|Is_IsNot|IsNot_Is)|ReplaceUnaryOperator_Delete_.*|AddNot|Replace(True|False|And|Or|Break|Continue)With.*"
    "|NumberReplacer|ZeroIterationForLoop"
)
"""Mistakes that a person could make: `+` for `-`, and not `<<` for `+`, which every test would notice."""


@dataclass(frozen=True)
class Mutant:
    path: Path
    place: tuple[int, int]  # line and column
    lines: range
    """Of the statement, up to the line that is changed"""
    operator: str
    occurrence: int
    key: str
    """Eight digits that stay the same when other lines of the file change"""

    def code(self) -> str:
        return mutate_code(self.path.read_text(), get_operator(self.operator)(), self.occurrence)

    def change(self) -> str:
        diff = difflib.unified_diff(self.path.read_text().splitlines(), self.code().splitlines(), lineterm="", n=0)
        return "\n".join(line for line in list(diff)[2:] if line[0] in "+-")


def mutants(path: Path) -> Iterator[Mutant]:
    """Mutants of a file's functions; not of signatures, of what stands outside functions and of numbers that a
    configuration is made with, which are settings; nor of what errors say, of assertions for mypy, and of `strict`."""
    source = path.read_text()
    nodes, text = list(ast.walk(ast.parse(source))), source.splitlines()
    functions = [n for n in nodes if isinstance(n, ast.FunctionDef)]
    inside = {i for f in functions for i in range(f.body[0].lineno, f.end_lineno + 1)}
    inside -= {i for f in functions for i in range(f.lineno, f.body[0].lineno)}
    inside -= {i for n in nodes if isinstance(n, ast.Raise | ast.Assert) for i in range(n.lineno, n.end_lineno + 1)}
    left_out = {place for n in nodes for place in _left_out(n)}
    begins = sorted({n.lineno for n in nodes if isinstance(n, ast.stmt)})
    parsed = list(ast_nodes(get_ast(source)))
    for name in (n for n in operator_names() if OPERATORS.fullmatch(n.rpartition("/")[2])):
        operator = get_operator(name)()
        places = [start for node in parsed for start, _ in operator.mutation_positions(node)]
        for i, (line, column) in enumerate(places):
            if line in inside and (line, column) not in left_out:
                begin = max(n for n in begins if n <= line)
                same = places[:i].count((line, column))
                words = f"{path.relative_to(PACKAGE)} {text[line - 1]} {column} {name} {same}"
                key = hashlib.sha256(words.encode()).hexdigest()[:8]
                yield Mutant(path, (line, column), range(begin, line + 1), name, i, key)


def _left_out(node: ast.AST) -> Iterator[tuple[int, int]]:
    """Places that are settings, promises to mypy, or nothing that is ever computed."""
    if isinstance(node, ast.AnnAssign):
        yield from ((node.lineno, i) for i in range(node.annotation.col_offset, node.annotation.end_col_offset))
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        for k in (k for k in node.keywords if isinstance(k.value, ast.Constant)):
            if k.arg == "strict" or (type(k.value.value) in (int, float) and (name[0].isupper() or name == "replace")):
                yield k.value.lineno, k.value.col_offset


def sample(only: str, count: int) -> tuple[list[Mutant], int]:
    """Mutants of different places in an order that depends on each alone, and how many places there are."""
    files = [p for part in MUTATED for p in sorted((PACKAGE / part).rglob("*.py"))]
    found = [m for p in files if fnmatchcase(str(p.relative_to(PACKAGE)), only) for m in mutants(p)]
    drawn = {(m.path, m.place): m for m in sorted(found, key=lambda m: m.key, reverse=True)}
    return sorted(drawn.values(), key=lambda m: m.key)[:count], len(drawn)


class Reach:
    """A pytest plugin: which tests reach which lines, and the seconds of each test."""

    def __init__(self) -> None:
        self.coverage = coverage.Coverage(data_file=None, include=[f"{PACKAGE / part}/*" for part in MUTATED])
        self.seconds: dict[str, float] = defaultdict(float)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.coverage.switch_context(item.nodeid)
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration

    def run(self) -> None:
        left_out = [f"--ignore-glob=*/{name}" for name in LEFT_OUT]
        with self.coverage.collect():
            if pytest.main(["-q", "-x", "--no-header", "-p", "no:cacheprovider", *left_out, *TESTS], plugins=[self]):
                sys.exit("the tests fail without any mutant")

    def tests(self, mutant: Mutant) -> list[str]:
        """Those that reach a mutant: first those that lie beside its file, and the fast ones."""
        contexts = self.coverage.get_data().contexts_by_lineno(str(mutant.path))
        found = {test for line in mutant.lines for test in contexts.get(line, []) if test}
        beside = f"test_{mutant.path.name}"
        return sorted(found, key=lambda test: (beside not in test, self.seconds[test], test))


def attempt(copy: Path, tests: list[str]) -> None:
    """In a process of its own: pytest's exit code, with the package of a copy."""
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    sys.path[:0] = [str(copy), str(ROOT)]
    os.environ["PYTHONPATH"] = str(copy)
    sys.exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))


def verdict(mutant: Mutant, tests: list[str], seconds: float) -> str:
    if not tests:
        return "not reached"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(PACKAGE.parent, Path(folder, "src"), copy_function=os.symlink))
        target, code = copy / mutant.path.relative_to(PACKAGE.parent), mutant.code()
        target.unlink()
        target.write_text(code)
        for chosen in (tests, sorted({test.partition("::")[0] for test in tests})):
            process = FORKS.Process(target=attempt, args=(copy, chosen))
            process.start()
            process.join(60 + 5 * seconds)
            process.kill()
            process.join()
            if process.exitcode != pytest.ExitCode.USAGE_ERROR:  # else tests have other names with the mutant
                break
    return {0: "survived", -signal.SIGKILL: "timed out"}.get(process.exitcode or 0, "killed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=220, help="size of the sample")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--only", default="*", help="pattern of files below src/presage")
    args = parser.parse_args()
    os.chdir(ROOT)
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    FORKS.set_forkserver_preload(["__main__", "hypothesis", "scipy.stats", "torch"])
    known, began, counts = Path("docs/mutants.md").read_text(), time.monotonic(), Counter[str]()
    (chosen, places), reach = sample(args.only, args.count), Reach()
    reach.run()
    tests = [reach.tests(m) for m in chosen]
    seconds = [sum(reach.seconds[t] for t in each) for each in tests]
    with ThreadPoolExecutor(args.jobs) as pool:
        for mutant, said in zip(chosen, pool.map(verdict, chosen, tests, seconds)):
            counts[said] += 1
            if said not in ("killed", "timed out"):
                where = f"{mutant.key} {mutant.path.relative_to(ROOT)}:{mutant.place[0]}"
                print(f"{where} {said}{' (known)' * (f'`{mutant.key}`' in known)}\n{mutant.change()}", flush=True)
    dead = (counts["killed"] + counts["timed out"]) / len(chosen)
    said = ", ".join(f"{n} {what}" for what, n in counts.most_common())
    print(f"{len(chosen)} mutants at {places} places: {said}: {dead:.1%} killed in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()

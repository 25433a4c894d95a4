"""Lessons run; the check of each exercise fails as long as it is unsolved or wrong, and passes on the solution.

A lesson is ``docs/lessons/NN-name.md``, a notebook as MyST text. An exercise is two cells: one with dots to fill in,
and one with the tag ``check`` that raises AssertionError until that is done, and then prints "Right". Beside the lesson
lies ``NN-name-solutions.md``: for each exercise the solution as a Python block, then under "Mistakes" at least three
wrong answers, each followed by a text block with the message of the check (its beginning, if it ends in dots).
"""

import itertools
import re
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest

import optimlab as ol

LESSONS = Path(__file__).parents[1] / "docs" / "lessons"
NAMES = sorted(p.stem for p in LESSONS.glob("[0-9][0-9]-*.md") if not p.stem.endswith("-solutions"))
pytestmark = pytest.mark.quick("01-one-step-downhill")
WRONG = (AssertionError, ol.RuleError, ol.InputError)


def cells(text):
    """The code cells of a page, each with its tags."""
    for block in re.findall(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        options, code = re.fullmatch(
            r"((?:---\n.*?^---\n)?(?:^:[^\n]*\n)*)(.*)", block, re.DOTALL | re.MULTILINE
        ).groups()
        tags = re.search(r"tags: \[(.*)\]", options)
        yield SimpleNamespace(code=code, tags=tags[1].split(", ") if tags else [])


def run(code, names):
    exec(compile(code, "a cell", "exec"), names)


@pytest.fixture(scope="module", params=NAMES)
def lesson(request):
    """What the lesson's cells have defined, and its exercises: each the cell to fill in and the check that follows."""
    found = list(cells((LESSONS / f"{request.param}.md").read_text(encoding="utf-8")))
    exercises = [(before, cell) for before, cell in itertools.pairwise(found) if "check" in cell.tags]
    names = {"__name__": "lesson"}
    with plt.rc_context(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "show", lambda: plt.close("all"))
        for cell in found:
            if "check" not in cell.tags:
                run(cell.code, names)
    return SimpleNamespace(name=request.param, names=names, exercises=exercises)


def answers(lesson):
    """Of each exercise the solution, and the mistakes, each with the message that the page promises."""
    page = (LESSONS / f"{lesson.name}-solutions.md").read_text(encoding="utf-8")
    for section in re.split(r"^## Exercise \d+$", page, flags=re.MULTILINE)[1:]:
        solution, mistakes = section.split("### Mistakes")
        code = re.findall(r"^```python\n(.*?)^```$", solution, re.MULTILINE | re.DOTALL)
        wrong = re.findall(r"^```python\n(.*?)^```\n+```text\n(.*?)\n```$", mistakes, re.MULTILINE | re.DOTALL)
        assert len(code) == 1
        assert len(re.findall("^```python", mistakes, re.MULTILINE)) == len(wrong)
        yield code[0], wrong


def check(lesson, number, answer):
    names = dict(lesson.names)
    run(answer, names)
    run(lesson.exercises[number][1].code, names)


def test_there_are_three_exercises_each_with_three_mistakes(lesson):
    assert len(lesson.exercises) == 3
    assert [len(mistakes) >= 3 for _, mistakes in answers(lesson)] == [True] * 3


def test_the_check_fails_on_the_unsolved_exercise(lesson):
    for number, (unsolved, _) in enumerate(lesson.exercises):
        assert "..." in unsolved.code
        with pytest.raises(WRONG):
            check(lesson, number, unsolved.code)


def test_the_check_passes_on_the_solution(lesson, capsys):
    for number, (solution, _) in enumerate(answers(lesson)):
        check(lesson, number, solution)
        assert capsys.readouterr().out.startswith("Right")


def test_the_check_fails_on_each_mistake_with_the_message_of_the_page(lesson):
    for number, (_, mistakes) in enumerate(answers(lesson)):
        for code, message in mistakes:
            with pytest.raises(WRONG) as error:
                check(lesson, number, code)
            start, dots, _ = message.partition("...")
            said = str(error.value).splitlines()[0]
            assert said.startswith(start) if dots else said == start

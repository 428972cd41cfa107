"""Problems: deterministic, split by content, and right by a second computation."""

import re
from datetime import date, datetime, timedelta

import pytest

from local_models.problems import (
    FAMILIES,
    MONTHS,
    NUMBER_WORDS,
    SPLITS,
    UNITS,
    WEEKDAYS,
    Problem,
    generate,
    grade,
    in_words,
    stream,
)
from local_models.tokenizer import UNKNOWN, decode, encode

SAMPLE = generate("calibration", 2000, seed=7)


def numbers(prompt: str) -> list[int]:
    """The numbers of a prompt in order, digits or words."""
    found: list[int] = []
    tens = False
    for word in re.findall(r"\d+|[a-z]+|[^\w\s]", prompt.lower()):
        if word.isdigit():
            found.append(int(word))
            tens = False
        elif word in NUMBER_WORDS:
            place = NUMBER_WORDS.index(word)
            value = place if place < 20 else 10 * (place - 18)
            if tens and value < 10:
                found[-1] += value
            else:
                found.append(value)
            tens = place >= 20
        else:
            tens = False
    return found


def solve(problem: Problem) -> str:
    """The answer read off the prompt alone, by other means than the generator's."""
    return {
        "add": _sum,
        "subtract": _difference,
        "multiply": _product,
        "compare": _extreme,
        "weekday": _weekday,
        "date": _date,
        "clock": _clock,
        "units": _units,
        "sequence": _sequence,
        "remainder": _remainder,
    }[problem.family](problem.prompt)


def _sum(prompt: str) -> str:
    return str(sum(numbers(prompt)))


def _difference(prompt: str) -> str:
    return str(max(numbers(prompt)) - min(numbers(prompt)))


def _product(prompt: str) -> str:
    a, b = (n for n in numbers(prompt.removeprefix("A box")))
    return str(sum([a] * b))


def _extreme(prompt: str) -> str:
    ordered = sorted(numbers(prompt))
    return str(ordered[-1] if re.search("largest|biggest", prompt) else ordered[0])


def _weekday(prompt: str) -> str:
    start = next(i for i, name in enumerate(WEEKDAYS) if name in prompt)
    days = numbers(prompt)[0] * (-1 if re.search("before|ago", prompt) else 1)
    monday = date(2024, 1, 1)
    return f"{monday + timedelta(days=start + days):%A}"


def _date(prompt: str) -> str:
    match = re.search(rf"({'|'.join(MONTHS)}) (\d+)", prompt)
    assert match
    (days,) = numbers(prompt.replace(match[0], ""))
    backwards = re.search("before|ago", prompt)
    start = datetime.strptime(f"{match[0]} 2022", "%B %d %Y")  # neither 2021 nor 2023 leaps
    end = start + timedelta(days=-days if backwards else days)
    return f"{end:%B} {end.day}"


def _clock(prompt: str) -> str:
    match = re.search(r"\d\d:\d\d", prompt)
    assert match
    start = datetime.strptime(match[0], "%H:%M")
    amounts = {unit: int(n) for n, unit in re.findall(r"(\d+) (hours|minutes)", prompt)}
    span = timedelta(**amounts)
    return f"{start - span if re.search('earlier|before', prompt) else start + span:%H:%M}"


def _units(prompt: str) -> str:
    a, b = [*numbers(prompt), 0][:2]
    named = {name for unit in UNITS for name in unit[:2] if name in prompt}
    (factor,) = (factor for big, small, factor, _ in UNITS if {big, small} == named)
    return str(a * factor + b)


def _sequence(prompt: str) -> str:
    terms = numbers(prompt)
    return str(2 * terms[-1] - terms[-2])


def _remainder(prompt: str) -> str:
    a, b = numbers(prompt)
    while a >= b:
        a -= b
    return str(a)


def test_the_same_seed_gives_the_same_problems_and_another_gives_others() -> None:
    assert generate("calibration", 200, seed=7) == SAMPLE[:200]
    assert generate("calibration", 200, seed=8) != SAMPLE[:200]


def test_problems_are_the_same_on_every_machine() -> None:
    # The weights were trained on these splits: a change here means training them again.
    assert [p.prompt for p in generate("calibration", 3)] == [
        "What date is 1 days after April 6?",
        "It is 18:45. What time is it 20 minutes later?",
        "Convert 13 minutes and 14 seconds to seconds.",
    ]


def test_no_problem_is_in_two_splits() -> None:
    prompts = {split: {p.prompt for p in generate(split, 2000)} for split in SPLITS}
    assert not prompts["train"] & prompts["calibration"]
    assert not prompts["train"] & prompts["test"]
    assert not prompts["calibration"] & prompts["test"]


def test_rephrasing_a_problem_keeps_it_in_its_split() -> None:
    def contents(split: str) -> set[tuple[int, ...]]:
        source = stream(split)
        sums = (p for p in (next(source) for _ in range(20_000)) if p.family == "add")
        return {tuple(sorted(numbers(p.prompt))) for p in sums}

    assert not contents("train") & contents("test")


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="train, calibration, test"):
        generate("validation", 1)


def test_prompts_are_distinct_short_and_of_every_family() -> None:
    assert len({p.prompt for p in SAMPLE}) == len(SAMPLE)
    assert max(len(p.prompt) for p in SAMPLE) <= 120
    assert {p.family for p in SAMPLE} == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_agree_with_an_independent_solution(family: str) -> None:
    problems = [p for p in SAMPLE if p.family == family]
    assert len(problems) > 50
    wrong = [p for p in problems if solve(p) != p.answer]
    assert not wrong


def test_every_answer_grades_right_and_another_answer_wrong() -> None:
    for problem in SAMPLE:
        assert grade(problem, problem.answer)
        assert not grade(problem, problem.answer + "1")


@pytest.mark.parametrize(
    ("answer", "reply", "right"),
    [
        ("42", " 42. ", True),
        ("42", "30 + 12 is 42. Answer: 42", True),
        ("42", "Answer: 41. No: ANSWER: 42.", True),
        ("42", "Answer: 41", False),
        ("42", "42 41", False),
        ("42", "", False),
        ("1234", "1,234", True),
        ("09:05", "9:05", True),
        ("09:05", "9:50", False),
        ("10:05", "10:5", False),
        ("0", "0", True),
        ("April 6", "april  6.", True),
        ("April 6", "April 16", False),
        ("Tuesday", "tuesday", True),
    ],
)
def test_grading(answer: str, reply: str, right: bool) -> None:
    assert grade(Problem("?", answer, "add"), reply) is right


def test_numbers_in_words() -> None:
    assert [in_words(n) for n in (0, 9, 10, 19, 20, 21, 99)] == [
        "zero", "nine", "ten", "nineteen", "twenty", "twenty one", "ninety nine",
    ]  # fmt: skip
    assert all(numbers(in_words(n)) == [n] for n in range(100))


def test_the_vocabulary_covers_every_problem_and_answers_survive_it() -> None:
    for problem in SAMPLE:
        assert UNKNOWN not in encode(problem.prompt)
        assert decode(encode(problem.answer)) == problem.answer


def test_unknown_text_becomes_unknown_tokens() -> None:
    assert encode("Wibble \u2603?")[:2] == [UNKNOWN, UNKNOWN]
    assert encode("1 2") != encode("12")
    assert encode("") == []

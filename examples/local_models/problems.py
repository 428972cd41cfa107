"""Reasoning problems that code makes and grades: arithmetic, comparison, dates, time and units.

A problem has *content* (its family and its numbers) and a *phrasing* (one of several templates).
A hash of the content alone decides the split, so no held-out problem was trained on in other words.
"""

import hashlib
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

SPLITS: tuple[str, ...] = ("train", "calibration", "test")

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # never a leap year
NAMES = ("Tom", "Mia", "Ali", "Eva", "Ben", "Zoe")
THINGS = ("apples", "coins", "books", "pens", "cards", "eggs")
UNITS = (
    ("weeks", "days", 7, 30),
    ("years", "months", 12, 30),
    ("feet", "inches", 12, 30),
    ("days", "hours", 24, 14),
    ("hours", "minutes", 60, 24),
    ("minutes", "seconds", 60, 24),
    ("dollars", "cents", 100, 99),
    ("meters", "centimeters", 100, 99),
)  # (big, small, small in one big, largest count of big)
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
    "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
NUMBER_WORDS: tuple[str, ...] = (*_ONES, *_TENS[2:])


@dataclass(frozen=True, slots=True)
class Problem:
    """A question, its one right answer, and the family it comes from."""

    prompt: str
    answer: str
    family: str


@dataclass(frozen=True, slots=True)
class _Draft:
    """A phrased problem with the content that decides its split."""

    content: tuple[object, ...]
    prompt: str
    answer: str


def in_words(number: int) -> str:
    """English words for 0 to 99.

    Examples:
        >>> in_words(47)
        'forty seven'
    """
    if number < 20:
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens] + (f" {_ONES[ones]}" if ones else "")


def _number(rng: random.Random) -> int:
    """A number of one, two or three digits, so that its length shows how hard the problem is."""
    digits = rng.choices((1, 2, 3), (0.35, 0.50, 0.15))[0]
    return rng.randrange(10 ** (digits - 1), 10**digits)


def _phrase(rng: random.Random, a: int, b: int) -> tuple[str, str]:
    """Both numbers in digits or, now and then when they are small enough, in words."""
    if max(a, b) < 100 and rng.random() < 0.2:
        return in_words(a), in_words(b)
    return str(a), str(b)


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:-1])) + f" or {numbers[-1]}"


def _add(rng: random.Random) -> _Draft:
    a, b = _number(rng), _number(rng)
    x, y = _phrase(rng, a, b)
    name, things = rng.choice(NAMES), rng.choice(THINGS)
    prompt = rng.choice(
        (
            f"What is {x} plus {y}?",
            f"{x} + {y} = ?",
            f"Add {x} and {y}.",
            f"What is the sum of {x} and {y}?",
            f"{name} has {x} {things} and gets {y} more. How many {things} does {name} have?",
        )
    )
    return _Draft((min(a, b), max(a, b)), prompt, str(a + b))


def _subtract(rng: random.Random) -> _Draft:
    a, b = sorted((_number(rng), _number(rng)), reverse=True)
    x, y = _phrase(rng, a, b)
    name, things = rng.choice(NAMES), rng.choice(THINGS)
    prompt = rng.choice(
        (
            f"What is {x} minus {y}?",
            f"{x} - {y} = ?",
            f"Subtract {y} from {x}.",
            f"Take {y} away from {x}.",
            f"{name} had {x} {things} and gave away {y}. How many {things} are left?",
        )
    )
    return _Draft((a, b), prompt, str(a - b))


def _multiply(rng: random.Random) -> _Draft:
    # Easy factors now and then, so that the prompt shows something of how hard the problem is.
    a, b = rng.randrange(2, 100), rng.choice((2, 5, 10) if rng.random() < 0.4 else range(2, 10))
    x, y = _phrase(rng, a, b)
    things = rng.choice(THINGS)
    prompt = rng.choice(
        (
            f"What is {x} times {y}?",
            f"{x} x {y} = ?",
            f"Multiply {x} by {y}.",
            f"A box holds {x} {things}. How many {things} are in {y} boxes?",
        )
    )
    return _Draft((min(a, b), max(a, b)), prompt, str(a * b))


def _compare(rng: random.Random) -> _Draft:
    count = rng.randrange(2, 5)
    numbers: set[int] = set()
    # Numbers that share their leading digits are harder, and no word of the prompt says so.
    centre = rng.randrange(20, 980) if rng.random() < 0.4 else None
    while len(numbers) < count:
        numbers.add(centre + rng.randrange(-9, 10) if centre else _number(rng))
    listed = list(numbers)
    rng.shuffle(listed)
    largest = rng.random() < 0.5
    word = rng.choice(("largest", "biggest") if largest else ("smallest", "lowest"))
    text = _listed(listed)
    prompt = rng.choice((f"Which is {word}: {text}?", f"Which number is the {word}, {text}?"))
    return _Draft((largest, *sorted(listed)), prompt, str((max if largest else min)(listed)))


def _weekday(rng: random.Random) -> _Draft:
    day = rng.randrange(7)
    count = rng.randrange(1, 8) if rng.random() < 0.4 else rng.randrange(8, 61)
    if rng.random() < 0.5:
        prompts = (
            f"What day is {count} days after {WEEKDAYS[day]}?",
            f"Today is {WEEKDAYS[day]}. What day will it be in {count} days?",
        )
        shift = count
    else:
        prompts = (
            f"What day is {count} days before {WEEKDAYS[day]}?",
            f"Today is {WEEKDAYS[day]}. What day was it {count} days ago?",
        )
        shift = -count
    return _Draft((day, shift), rng.choice(prompts), WEEKDAYS[(day + shift) % 7])


def shift_date(month: int, day: int, shift: int) -> tuple[int, int]:
    """The (month, day) `shift` days later, months counted from 0, in a year of 365 days."""
    index = (sum(MONTH_DAYS[:month]) + day - 1 + shift) % 365
    month = 0
    while index >= MONTH_DAYS[month]:
        index -= MONTH_DAYS[month]
        month += 1
    return month, index + 1


def _date(rng: random.Random) -> _Draft:
    month = rng.randrange(12)
    day = rng.randrange(1, MONTH_DAYS[month] + 1)
    count = rng.randrange(1, 31)
    start = f"{MONTHS[month]} {day}"
    if rng.random() < 0.6:
        prompts = (
            f"What date is {count} days after {start}?",
            f"Today is {start}. What is the date in {count} days?",
        )
        shift = count
    else:
        prompts = (
            f"What date is {count} days before {start}?",
            f"Today is {start}. What was the date {count} days ago?",
        )
        shift = -count
    end_month, end_day = shift_date(month, day, shift)
    return _Draft((month, day, shift), rng.choice(prompts), f"{MONTHS[end_month]} {end_day}")


def _clock(rng: random.Random) -> _Draft:
    start = rng.randrange(0, 1440, 5)
    hours, minutes = 0, 0
    if rng.random() < 0.4:
        hours = rng.randrange(1, 12)
    else:
        minutes = rng.randrange(5, 65, 5)
    span = f"{hours} hours" if hours else f"{minutes} minutes"
    time = f"{start // 60:02}:{start % 60:02}"
    later = rng.random() < 0.6
    way = "later" if later else "earlier"
    prompt = rng.choice(
        (
            f"It is {time}. What time is it {span} {way}?",
            f"What is the time {span} {'after' if later else 'before'} {time}?",
        )
    )
    shift = (60 * hours + minutes) * (1 if later else -1)
    end = (start + shift) % 1440
    return _Draft((start, shift), prompt, f"{end // 60:02}:{end % 60:02}")


def _units(rng: random.Random) -> _Draft:
    big, small, factor, most = rng.choice(UNITS)
    a = rng.randrange(2, 10) if rng.random() < 0.5 else rng.randrange(2, most + 1)
    b = rng.randrange(2, min(factor, 60)) if rng.random() < 0.75 else 0
    amount = f"{a} {big}" + (f" and {b} {small}" if b else "")
    prompt = rng.choice(
        (
            f"How many {small} are {amount}?",
            f"Convert {amount} to {small}.",
            f"What is {amount} in {small}?",
        )
    )
    return _Draft((big, a, b), prompt, str(a * factor + b))


def _sequence(rng: random.Random) -> _Draft:
    step = rng.choice((1, 2, 5, 10)) if rng.random() < 0.5 else rng.randrange(3, 16)
    step *= rng.choice((1, 1, -1))
    start = rng.randrange(0, 100) + (4 * -step if step < 0 else 0)
    terms = [start + i * step for i in range(5)]
    text = ", ".join(map(str, terms[:4]))
    prompt = rng.choice((f"What comes next: {text}?", f"What is the next number: {text}?"))
    return _Draft((start, step), prompt, str(terms[4]))


def _remainder(rng: random.Random) -> _Draft:
    b = rng.choice((2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 5))
    a = rng.randrange(b + 1, 100) if rng.random() < 0.4 else rng.randrange(100, 1000)
    prompt = rng.choice(
        (
            f"What is the remainder of {a} divided by {b}?",
            f"What remains when {a} is divided by {b}?",
        )
    )
    return _Draft((a, b), prompt, str(a % b))


_FAMILIES: dict[str, tuple[Callable[[random.Random], _Draft], float]] = {
    "add": (_add, 1.0),
    "subtract": (_subtract, 1.0),
    "multiply": (_multiply, 1.0),
    "compare": (_compare, 1.0),
    "weekday": (_weekday, 0.6),
    "date": (_date, 1.0),
    "clock": (_clock, 1.0),
    "units": (_units, 1.0),
    "sequence": (_sequence, 1.0),
    "remainder": (_remainder, 1.0),
}  # family: (maker, weight in the mix)
FAMILIES: tuple[str, ...] = tuple(_FAMILIES)


def _split_of(family: str, content: tuple[object, ...]) -> str:
    """The split of a content: 80 % train, 10 % calibration, 10 % test, for ever the same."""
    key = "|".join(map(str, (family, *content))).encode()
    # Not hash(): Python salts it anew in every process.
    bucket = int.from_bytes(hashlib.blake2b(key, digest_size=4).digest()) % 10
    return {0: "calibration", 1: "test"}.get(bucket, "train")


def stream(split: str, seed: int = 0) -> Iterator[Problem]:
    """Problems of one split without end, repeats included; the same for the same seed."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
    rng = random.Random(f"{split}-{seed}")
    weights = [weight for _, weight in _FAMILIES.values()]
    while True:
        for family in rng.choices(FAMILIES, weights, k=64):
            draft = _FAMILIES[family][0](rng)
            if _split_of(family, draft.content) == split:
                yield Problem(draft.prompt, draft.answer, family)


def generate(split: str, n: int, seed: int = 0) -> list[Problem]:
    """`n` problems with distinct prompts from one split; the splits share no content.

    Args:
        split: "train", "calibration" or "test".
        n: how many.
        seed: another seed draws another sample of the same split.
    """
    if n < 0:
        raise ValueError(f"n must be >= 0, got {n}.")
    problems: dict[str, Problem] = {}
    source = stream(split, seed)
    while len(problems) < n:
        problem = next(source)
        problems.setdefault(problem.prompt, problem)
    return list(problems.values())


def normalise(text: str) -> str:
    """The answer in `text`: after the last "Answer:", lower case, single spaces, no final period.

    Examples:
        >>> normalise("40 + 2 is 42. Answer:  42.")
        '42'
    """
    answer = text.lower().rpartition("answer:")[2]
    answer = " ".join(answer.split()).rstrip(". ")
    if re.fullmatch(r"\d{1,3}(,\d{3})+", answer):  # 1,234 is 1234
        answer = answer.replace(",", "")
    return re.sub(r"^0+(?=\d)", "", answer)  # 09:05 is 9:05


def grade(problem: Problem, reply_text: str) -> bool:
    """Whether the reply gives the problem's answer, but for case, spaces and a final period."""
    return normalise(reply_text) == normalise(problem.answer)

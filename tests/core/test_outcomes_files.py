"""Outcomes in files: what is read, what is refused, and that what is written comes back."""

import importlib.util
import json
import os
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_core import InvalidConfiguration, InvalidOutcomes, Price
from cascade_core._answer_key import answer_text
from cascade_core.outcomes import (
    IncompleteOutcomesWarning,
    OutcomeTable,
    _csv,
    _jsonl,
    _layout,
    _parquet,
    read_outcomes,
    write_outcomes,
)
from cascade_core.outcomes.answers import answer_keys

FORMATS = ["csv", "jsonl", "parquet"]
HEADER = "prompt_id,model,quality,cost_usd\n"
Row = Mapping[str, Any]


def rows(n: int = 3, models: str = "ab", **more: Any) -> list[dict[str, Any]]:
    return [
        {"prompt_id": f"p{i}", "model": m, "quality": 1.0, "cost_usd": 0.5} | more
        for i in range(n)
        for m in models
    ]


def save(folder: Path, given: list[dict[str, Any]], kind: str) -> Path:
    path, frame = folder / f"o.{kind}", pl.DataFrame(given, infer_schema_length=None)
    if kind == "csv":
        frame.write_csv(path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in given))
    else:
        frame.write_parquet(path)
    return path


def put(folder: Path, text: str | bytes, kind: str = "csv") -> Path:
    path = folder / f"o.{kind}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


FULL = OutcomeTable(
    ("small", "big"),
    quality=np.array([[0, 1], [0.25, 1], [0, 0]]),
    cost_usd=np.array([[0, 1e-6], [1 / 3, 1], [0, 2]]),
    latency_seconds=np.array([[0.1, np.nan], [0.2, 1.5], [0, 1]]),
    signals={
        "confidence": np.array([[0.1, 1], [np.nan, 0], [0.5, 0.6]]),
        "length": np.array([[-3, 1e9], [0, np.nan], [2, 2]]),
    },
    rejected=np.array([[True, False], [False, False], [False, True]]),
    prompt_ids=np.array(["p", "p", 'q "x",\ny'], dtype=object),
    prompts=np.array(["ask", "ask", None], dtype=object),
    domains=np.array(["math", "math", "law"], dtype=object),
    splits=np.array(["train", "train", None], dtype=object),
    trials=np.array([0, 1, 0]),
    answers=np.array([[0, 1], [0, 0], [-1, 1]]),
    input_tokens=np.array([[1, np.nan], [3, 4], [5, 6]]),
    output_tokens=np.array([[1, 2], [3, 4], [5, 6]]),
)


def assert_same(a: OutcomeTable, b: OutcomeTable) -> None:
    assert a.arms == b.arms and list(a.signals) == list(b.signals)
    for name in OutcomeTable.__dataclass_fields__:
        x, y = getattr(a, name), getattr(b, name)
        if name in ("arms", "signals"):
            continue
        assert (x is None) == (y is None), name
        if x is not None:
            np.testing.assert_array_equal(x, y, err_msg=name)
    for name in a.signals:
        np.testing.assert_array_equal(a.signals[name], b.signals[name], err_msg=name)


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_written_comes_back(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"o.{kind}"
    write_outcomes(FULL, path)
    assert_same(read_outcomes(path, with_prompts=True), FULL)
    assert read_outcomes(path).prompts is None
    assert os.listdir(tmp_path) == [path.name]


@st.composite
def tables(draw: st.DrawFn) -> OutcomeTable:
    n, m = draw(st.integers(1, 5)), draw(st.integers(1, 3))

    def cells(low: float, high: float, nan: bool = False) -> Any:
        number = st.floats(low, high)
        cell = number | st.just(float("nan")) if nan else number
        return np.array(draw(st.lists(cell, min_size=n * m, max_size=n * m))).reshape(n, m)

    names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=5)
    return OutcomeTable(
        tuple(draw(st.lists(names, min_size=m, max_size=m, unique=True))),
        cells(0, 1),
        cells(0, 1e6),
        cells(0, 1e6, nan=True),
        {"confidence": cells(0, 1, nan=True), "x": cells(-1e300, 1e300, nan=True)},
        prompt_ids=np.array(
            draw(st.lists(names, min_size=n, max_size=n, unique=True)), dtype=object
        ),
    )


@settings(max_examples=40, deadline=None)
@given(table=tables(), kind=st.sampled_from(FORMATS))
def test_any_table_comes_back(table: OutcomeTable, kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"o.{kind}"
        write_outcomes(table, path)
        assert_same(read_outcomes(path), table)


@pytest.mark.parametrize("kind", FORMATS)
def test_small_batches_read_the_same(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"o.{kind}"
    write_outcomes(FULL, path)
    monkeypatch.setattr(_parquet, "BATCH_ROWS", 2)
    monkeypatch.setattr(_csv, "BATCH_BYTES", 8)
    monkeypatch.setattr(_jsonl, "_ROWS", 1)
    assert_same(read_outcomes(path, with_prompts=True), FULL)


def test_a_table_that_would_not_come_back_is_not_written(tmp_path: Path) -> None:
    twice = FULL.select(np.array([0, 0]))
    with pytest.raises(InvalidOutcomes, match="Rows 0 and 1 are both prompt 'p', trial 0"):
        write_outcomes(twice, tmp_path / "o.csv")
    assert not os.listdir(tmp_path)


FIRST = {"csv": r"row 2 \(the header is row 1\)", "jsonl": "line 1", "parquet": "row 1"}
FIFTH = {"csv": r"row 6 \(the header is row 1\)", "jsonl": "line 5", "parquet": "row 5"}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("quality", 1.5, r"1\.5 is not in \[0, 1\]"),
        ("quality", -0.1, r"-0\.1 is not in \[0, 1\]"),
        ("quality", float("nan"), "no value"),
        ("quality", None, "no value"),
        ("cost_usd", -1.0, "not finite and >= 0"),
        ("cost_usd", float("inf"), "not finite and >= 0"),
        ("cost_usd", None, "no cost of 'a'.*prices="),
        ("latency_s", -1.0, "not finite"),
        ("input_tokens", -1.0, "not finite"),
        ("confidence", 1.5, "probability in"),
        ("confidence", float("inf"), "probability in"),
        ("trial", 0.5, "whole number"),
        ("trial", None, "no value"),
        ("signal_x", float("inf"), "not finite"),
        ("rejected", 0.5, "true or false"),
        ("model", None, "no value; text is needed"),
        ("prompt_id", "", "no value; text is needed"),
    ],
)
def test_a_bad_value_is_refused_with_file_row_and_column(
    kind: str, column: str, value: Any, message: str, tmp_path: Path
) -> None:
    more = {} if column in ("model", "prompt_id", "quality", "cost_usd") else {column: 0.0}
    given = rows(**more)
    given[4] |= {column: value}
    path = save(tmp_path, given, kind)
    with pytest.raises(
        InvalidOutcomes, match=rf"o\.{kind}, {FIFTH[kind]}, column '{column}': .*{message}"
    ):
        read_outcomes(path)


@pytest.mark.parametrize("kind", FORMATS)
def test_duplicates_name_both_rows(kind: str, tmp_path: Path) -> None:
    given = rows()
    given[4] = given[0]
    first = FIRST[kind]
    with pytest.raises(
        InvalidOutcomes, match=rf"{FIFTH[kind]}: a second .*'a' on prompt 'p0'.*in {first}"
    ):
        read_outcomes(save(tmp_path, given, kind))


@pytest.mark.parametrize("kind", FORMATS)
def test_columns_that_are_missing_are_named(kind: str, tmp_path: Path) -> None:
    given = [{"id": "p", "model": "a", "cost_usd": 1.0}]
    with pytest.raises(InvalidOutcomes, match=r"prompt_id \(or prompt\), quality among \['id'"):
        read_outcomes(save(tmp_path, given, kind))
    no_cost = [{"prompt_id": "p", "model": "a", "quality": 1.0}]
    with pytest.raises(InvalidOutcomes, match=r"no column cost_usd.*prices="):
        read_outcomes(save(tmp_path, no_cost, kind))
    with pytest.raises(InvalidOutcomes, match=r"no signals \['y'\], only \['x'\]"):
        read_outcomes(save(tmp_path, rows(signal_x=1.0), kind), signals=["y"])


@pytest.mark.parametrize("kind", FORMATS)
def test_other_columns_are_ignored(kind: str, tmp_path: Path) -> None:
    assert not read_outcomes(save(tmp_path, rows(extra="?"), kind)).signals


@pytest.mark.parametrize("kind", FORMATS)
def test_an_empty_file_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidOutcomes, match=rf"o\.{kind}.*the file is empty"):
        read_outcomes(put(tmp_path, b"", kind))
    if kind != "jsonl":
        empty = pl.DataFrame(rows()).clear()
        (empty.write_csv if kind == "csv" else empty.write_parquet)(tmp_path / f"o.{kind}")
        with pytest.raises(InvalidOutcomes, match="the file has no rows"):
            read_outcomes(tmp_path / f"o.{kind}")


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("csv", HEADER + "p,a,good,1\n", r"row 2 .*'quality': a number is needed, got 'good'"),
        ("csv", HEADER + "p,a,1,1\nq,a,1\n", r"row 3 .*: 3 columns where the header has 4"),
        ("csv", HEADER + "p,a,1,1\nq,a,1,1,1\n", r"row 3 .*: 5 columns where the header has 4"),
        ("csv", HEADER + "p,a,1,1\n\nq,a,1,1\n", r"row 3 .*: no columns"),
        ("csv", HEADER + 'p,a,1,1\nq,"a,1,1\n', "columns|quote"),
        ("csv", "model,model\n", r"\['model'\] occur twice"),
        ("csv", HEADER.encode() + b'"p,\n",a,1,1\nq,\xff,1,1\n', r"row 3 .*'model': not UTF-8"),
        ("csv", b"\xff\xfea\x00\n", r"row 1 .*not UTF-8 \(byte 0xff\)"),
        ("jsonl", '{"prompt_id": "p", "model": "a", "quality": "1"}', "no column cost_usd"),
        ("jsonl", json.dumps(rows()[0] | {"quality": "1"}), r"line 1, column 'quality'.*got '1'"),
        ("jsonl", json.dumps(rows()[0] | {"model": ["a"]}), r"line 1, column 'model'.*text"),
        ("jsonl", json.dumps(rows()[0]) + "\n{", "line 2: not JSON"),
        ("jsonl", json.dumps(rows()[0]) + "\n" + "[" * 100_000, "line 2: not JSON"),
        ("jsonl", json.dumps(rows()[0]) + "\n7", "line 2: an object is needed, got 7"),
        ("jsonl", json.dumps(rows()[0]) + "\n\n{}", "line 2: the line is blank"),
        ("jsonl", json.dumps(rows()[0]) + '\n{"b": 1}', "line 2, column 'b'.*not in line 1"),
        ("jsonl", json.dumps(rows()[0] | {"model": "\ud800"}), "line 1, column 'model'"),
        (
            "jsonl",
            json.dumps(rows()[0]).encode() + b'\n{"model": "\xff"}',
            "line 2, column 'model': not UTF-8",
        ),
        ("parquet", b"PAR1 is not all", "not a Parquet file"),
        ("txt", b"", r"\.csv, \.jsonl or \.parquet"),
    ],
)
def test_a_broken_file_is_refused(
    kind: str, text: str | bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidOutcomes, match=message):
        read_outcomes(put(tmp_path, text, kind))


def test_a_parquet_column_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, rows(quality="1"), "parquet")
    with pytest.raises(InvalidOutcomes, match="column 'quality': the column is String"):
        read_outcomes(path)
    path = save(tmp_path, rows(model=1.5), "parquet")
    with pytest.raises(InvalidOutcomes, match="column 'model': the column is Float64"):
        read_outcomes(path)


def test_a_quote_that_is_never_closed_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_csv, "RECORD_LIMIT", 1 << 20)
    monkeypatch.setattr(_csv, "BATCH_BYTES", 1 << 10)
    path = put(tmp_path, HEADER + "p,a,1,1\n" + 'q,"' + "x,\n" * (1 << 20))
    with pytest.raises(InvalidOutcomes, match=r"row 3 .*longer than 1 MiB; a quote"):
        read_outcomes(path)
    monkeypatch.setattr(_jsonl, "RECORD_LIMIT", 1 << 10)
    with pytest.raises(InvalidOutcomes, match="line 1: the line is longer"):
        read_outcomes(put(tmp_path, "x" * (1 << 11), "jsonl"))
    assert _layout.RECORD_LIMIT > 10 << 20


@pytest.mark.parametrize("kind", FORMATS)
def test_a_prompt_of_a_megabyte_is_read(kind: str, tmp_path: Path) -> None:
    long = 'say, "é"\n' * 120_000
    given = [{k: v for k, v in row.items() if k != "prompt_id"} for row in rows(1, prompt=long)]
    table = read_outcomes(save(tmp_path, given, kind), with_prompts=True)
    assert table.prompt_ids is not None and table.prompts is not None
    assert table.prompt_ids[0] == table.prompts[0] == long


@pytest.mark.parametrize("kind", FORMATS)
def test_incomplete_requests_are_left_out_with_a_count(kind: str, tmp_path: Path) -> None:
    path = save(tmp_path, rows()[:-1], kind)
    with pytest.warns(IncompleteOutcomesWarning, match="1 of 3 requests.*'b' has the fewest, 2"):
        assert read_outcomes(path).prompt_ids is not None
    with pytest.raises(InvalidOutcomes, match=r"prompt 'p2' of \['b'\]"):
        read_outcomes(path, allow_incomplete=False)
    assert read_outcomes(path, models=["a"]).n_requests == 3


def test_a_model_with_too_few_outcomes_is_named(tmp_path: Path) -> None:
    path = save(tmp_path, [*rows(), *rows(1, "c")], "csv")
    with pytest.raises(InvalidOutcomes, match=r"'c' has 1, .*models=\['a', 'b'\]"):
        read_outcomes(path)
    with pytest.raises(InvalidOutcomes, match="'z' has 0"):
        read_outcomes(path, models=["a", "z"])
    assert read_outcomes(path, models=["b", "a"]).arms == ("b", "a")


def test_rows_of_other_models_may_be_anything(tmp_path: Path) -> None:
    given = [*rows(), {"prompt_id": "p9", "model": "c", "quality": 7.0, "cost_usd": None}]
    assert read_outcomes(save(tmp_path, given, "csv"), models=["a", "b"]).n_requests == 3


@pytest.mark.parametrize("kind", FORMATS)
def test_costs_come_from_prices_where_they_are_not_given(kind: str, tmp_path: Path) -> None:
    given = rows(1, "ab", input_tokens=100, output_tokens=10)
    given[0]["cost_usd"] = None
    price = Price(input=1.0, output=2.0)
    path = save(tmp_path, given, kind)
    np.testing.assert_allclose(read_outcomes(path, prices={"a": price}).cost_usd, [[120e-6, 0.5]])
    with pytest.raises(InvalidOutcomes, match=r"no cost of 'a'.*price=None"):
        read_outcomes(path, prices={"b": price})


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ([-0.5, 0.0, float("-inf")], np.exp([-0.5, 0, -np.inf])),
        ([0.5, 0.0, 1.0], [0.5, 0, 1]),
        ([0.0, 0.0, None], [0, 0, np.nan]),
    ],
)
def test_confidence_becomes_a_probability(given: Any, read: Any, tmp_path: Path) -> None:
    outcomes = [row | {"confidence": c} for row, c in zip(rows(3, "a"), given, strict=True)]
    table = read_outcomes(save(tmp_path, outcomes, "csv"))
    np.testing.assert_allclose(table.signals["confidence"][:, 0], read)


def test_probabilities_and_log_probabilities_do_not_mix(tmp_path: Path) -> None:
    given = rows(2, "a")
    given[0]["confidence"], given[1]["confidence"] = 0.5, -0.5
    with pytest.raises(InvalidOutcomes, match=r"row 3 .*'confidence': a log.*row 2 "):
        read_outcomes(save(tmp_path, given, "csv"))


def test_a_prompt_in_two_splits_is_refused(tmp_path: Path) -> None:
    given = rows(2, split="train")
    given[3]["split"] = "test"
    with pytest.raises(InvalidOutcomes, match=r"row 5 .*'split': 'test', but .*'train' in row 4"):
        read_outcomes(save(tmp_path, given, "csv"))


def test_latency_is_in_seconds_and_may_be_unknown(tmp_path: Path) -> None:
    assert np.isnan(read_outcomes(save(tmp_path, rows(), "csv")).latency_seconds).all()
    given = read_outcomes(save(tmp_path, rows(latency_ms=250), "csv")).latency_seconds
    assert (given == 0.25).all()


SAME = [
    ("Paris", "  paris. "),
    ("New  York", "new\nyork"),
    ("I add 2 and 2.\n#### 4", "4"),
    ("so #### 1,234 dollars", "1234.0"),
    (r"thus \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    ("We look it up. The answer is (I).\n\n", "I"),
    ("$18.50", "18.5"),
    ("1800", "1,800"),
]
OTHER = [
    ("1", "10"),
    ("-5", "5"),
    ("3/4", "#### 3"),
    (".5", "5"),
    ("a b", "ab"),
    ("", ""),
    ("1.5", "15"),
]


@pytest.mark.parametrize(
    ("a", "b", "same"), [(*p, True) for p in SAME] + [(*p, False) for p in OTHER]
)
def test_answers_are_compared_by_what_they_say(a: str, b: str, same: bool, tmp_path: Path) -> None:
    given = rows(1)
    given[0]["answer"], given[1]["answer"] = a, b
    table = read_outcomes(save(tmp_path, given, "parquet"))
    assert table.agreement(0, 1).tolist() == [same]


def test_without_polars_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidConfiguration, match=r'pip install "cascade-router\[learn\]"'):
        read_outcomes(tmp_path / "o.csv")


DATA = Path(os.environ.get("CASCADE_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.mark.parametrize(
    ("name", "shape", "best", "quality", "oracle"),
    [
        ("bfcl_v1", (1700, 71), "claude-3-5-sonnet-20240620", 0.9053, 0.9788),
        ("mmlu_pro", (10058, 35), "gpt-4o-2024-05-13", 0.7331, 0.9591),
        ("routellm", (15441, 2), "gpt-4-1106-preview", 0.8108, None),
        ("swebench_mini_agent", (500, 24), "claude-opus-4-5-20251101", 0.7440, 0.8720),
        ("zellinger_cascades", (5533, 9), "llama3.1-405b", 0.8446, 0.9624),
    ],
)
def test_real_outcomes_have_their_published_figures(
    name: str, shape: tuple[int, int], best: str, quality: float, oracle: float | None
) -> None:
    path = DATA / name / "outcomes.parquet"
    if not path.exists():
        pytest.skip(f"no {path}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IncompleteOutcomesWarning)
        table = read_outcomes(path)
    assert table.quality.shape == shape
    means = table.quality.mean(axis=0)
    assert table.arms[int(means.argmax())] == best
    assert round(float(means.max()), 4) == quality
    assert oracle is None or round(float(table.quality.max(axis=1).mean()), 4) == oracle


# Without what Python's Unicode does not know yet (Cn): Polars may, and lowers its letters.
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), max_size=40),
    st.lists(
        st.sampled_from(
            ["The answer is ", "#### ", "\\boxed{", "}", "1,234.50", "$18 dollars", "3/4", "(B).",
             "\n", " ", "  ", "Answer: **7**", ".", "x", "-0.0", "Paris"]
        ),
        max_size=8,
    ).map("".join),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=8))
def test_a_live_answer_is_compared_as_a_logged_one(texts: list[str]) -> None:
    column = answer_keys(pl.Series("answer", texts, dtype=pl.String))
    assert column.to_list() == [answer_text(text) for text in texts]

"""`python -m synchist diagnose`: one message, or a file of them; no database needed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from synchist.cli import main

FIELDS = {"id", "cause", "explanation", "steps", "retry"}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["diagnose", *map(str, arguments)])


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SYNCHIST_DATABASE_URL", f"sqlite:///{tmp_path / 'none.db'}")


def test_a_message_is_explained_in_plain_words() -> None:
    said = run(
        "Names element id 318 not found",
        *("--system", "quickbooks_online", "--code", "2500", "--entity", "bill"),
    )
    assert said.exit_code == 0
    assert "Vendor missing or inactive (vendor_mapping)" in said.output
    assert "QuickBooks has no active vendor “318” for this bill." in said.output
    assert "  1. Look for the vendor in QuickBooks" in said.output
    assert "Retry: after the fix." in said.output


def test_everything_but_the_message_may_be_left_out_or_any() -> None:
    short = run("Rate limit exceeded")
    long = run("Rate limit exceeded", "--system", "any", "--code", "any", "--entity", "any")
    assert (short.exit_code, short.output) == (0, long.output)


@pytest.mark.parametrize("arguments", [(), ("a", "--jsonl", "b")])
def test_either_a_message_or_a_file(arguments: tuple[str, ...]) -> None:
    said = run(*arguments)
    assert said.exit_code == 2
    assert "either a message or --jsonl" in said.output


def test_a_file_gives_an_object_a_line(tmp_path: Path) -> None:
    file = tmp_path / "messages.jsonl"
    asked: list[dict[str, object]] = [
        {"id": "a", "message": "429 Too Many Requests", "system": "xero", "code": None},
        {"id": 2, "message": None, "system": "any", "entity": "any"},
        {"message": ["not", "a", "text"], "code": 6000, "system": "abacus", "entity": 7},
        {"id": "d", "message": "\ud800 broken", "category": "whatever"},
    ]
    file.write_text("\n\n".join(map(json.dumps, asked)) + "\n", "utf-8")
    said = run("--jsonl", file)
    assert said.exit_code == 0
    answers = [json.loads(line) for line in said.output.splitlines()]
    assert [answer["id"] for answer in answers] == ["a", 2, None, "d"]
    assert [answer["cause"] for answer in answers] == ["rate_limit", *["unknown"] * 3]
    for answer in answers:
        assert set(answer) == FIELDS
        assert answer["steps"]
        assert answer["retry"] in ("safe", "after the fix", "check first", "pointless")


@pytest.mark.parametrize("line", ["[1]", "{", "null", '"text"', "[" * 100_000])
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "messages.jsonl"
    file.write_text(f'{{"message": "a"}}\n{line}\n', "utf-8")
    said = run("--jsonl", file)
    assert said.exit_code == 2
    assert "Line 2 of messages.jsonl is not a JSON object" in said.output


def test_a_file_that_is_no_text_or_not_there_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "messages.jsonl"
    file.write_bytes(b'{"message": "a"}\n\xff\xfe')
    said = run("--jsonl", file)
    assert (said.exit_code, "Line 2 of messages.jsonl" in said.output) == (2, True)
    said = run("--jsonl", tmp_path / "nope")
    assert (said.exit_code, "can't be read" in said.output) == (2, True)

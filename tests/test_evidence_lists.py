"""Lists of number, reference and amount: pasted or read from a file, beside selected records."""

import csv
import io
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from synchist.loading.evidence import Found, Numbered, matched, pasted, read_amount
from synchist.status_changes import Evidence
from tests.test_risks import DUPLICATE

INVOICE = Numbered("invoice", 1, "INV-1", "USD")
OTHER = Numbered("invoice", 2, "INV-2", "USD")
YEN = Numbered("invoice", 3, "INV-3", "JPY")
DINAR = Numbered("bill", 1, "BIL-1", "KWD")
TWICE = (Numbered("bill", 7, "SAME", "USD"), Numbered("invoice", 8, "same", "USD"))
SELECTED = (INVOICE, OTHER, YEN, DINAR, *TWICE)


def read(text: str) -> Found:
    return matched(pasted(text), SELECTED)


def found(text: str) -> Mapping[str, Mapping[int, Evidence]]:
    """What a list says, where all of it is used."""
    result = read(text)
    assert result.unused == ()
    return result.evidence


def unused(*lines: str) -> tuple[str, ...]:
    """What is said of lines of which none is used."""
    result = read("\n".join(lines))
    assert (result.evidence, result.count) == ({}, 0)
    return tuple(result.unused)


# ---------------------------------------------------------------- what is understood

BOTH = {"invoice": {1: Evidence("QB-1", 123_450), 2: Evidence("QB-2", 5_00)}}


@pytest.mark.parametrize(
    "text",
    [
        "INV-1\tQB-1\t1234.50\nINV-2\tQB-2\t5",
        "INV-1;QB-1;1234.50\r\nINV-2;QB-2;5.00",
        "INV-1,QB-1,1234.50\nINV-2,QB-2,5",
        "INV-1\tQB-1\t1,234.50\nINV-2\tQB-2\t$5",
        'INV-1,QB-1,"$1,234.50"\nINV-2,"QB-2","5."',
        "inv-1; QB-1 ; $ 1,234.50 \n\n  \nInv-2;QB-2;5;;",
        "\n\t\t\nINV-1\tQB-1\t1234.5\n,,\nINV-2;QB-2;5.000\n",
        "Number\tReference\tAmount\nINV-1\tQB-1\t1234.50\nINV-2\tQB-2\t5",
        "amount,NUMBER, reference\n1234.50,INV-1,QB-1\n5,INV-2,QB-2",
        "Customer;Number;Amount;Memo;Reference\nA;INV-1;1234.50;;QB-1\nB;INV-2;5;x;QB-2",
    ],
)
def test_a_list_as_people_have_it(text: str) -> None:
    assert found(text) == BOTH
    assert read(text).count == 2


def test_reference_or_amount_may_be_missing() -> None:
    expected = {"invoice": {1: Evidence("QB-1"), 2: Evidence("", 7_00)}}
    assert found("INV-1\tQB-1\nINV-2\t\t7") == expected
    assert found("number,amount\nINV-2,7") == {"invoice": {2: Evidence("", 7_00)}}
    assert found("Number;Reference\nINV-1;QB-1") == {"invoice": {1: Evidence("QB-1")}}


def test_money_is_exact_in_its_currency() -> None:
    assert found("INV-3,,1234\nBIL-1,,1.234") == {
        "invoice": {3: Evidence("", 1234)},
        "bill": {1: Evidence("", 1_234)},
    }
    assert found("INV-1,,90071992547409.93") == {
        "invoice": {1: Evidence("", 9_007_199_254_740_993)}
    }
    assert found("INV-1,,-0.10") == {"invoice": {1: Evidence("", -10)}}


def test_cells_of_a_workbook() -> None:
    """Excel keeps numbers, and a number of a record as one with decimals."""
    records = [Numbered("bill", 1, "1042", "USD"), Numbered("bill", 2, "1043", "JPY")]
    lines = [(1, ["Number", "Amount", "Reference"]), (2, [1042.0, 0.1 + 0.2, 40123]), (5, [1043])]
    lines += [(7, [1043, 12, None])]
    result = matched(lines, records)
    assert result.evidence == {"bill": {1: Evidence("40123", 30), 2: Evidence("", 12)}}
    assert result.unused == ("Line 5: neither a reference nor an amount for “1043”.",)


def test_an_empty_list_says_nothing() -> None:
    for text in ("", " \n\t\t\n;;;\n,", "number,reference,amount"):
        assert read(text) == Found({}, ())


# ---------------------------------------------------------------- what is not used, and why


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("INV-9,QB-1,5", "none of the selected records has the number “INV-9”"),
        ("SAME,QB-1,5", "2 of the selected records have the number “SAME”; close them one by one"),
        (",QB-1,5", "the number is missing"),
        ("INV-1", "neither a reference nor an amount for “INV-1”"),
        ("INV-1,,abc", "amount “abc” is no amount in USD, like 1234.50"),
        ("INV-1;;1.234,50", "amount “1.234,50” is no amount in USD, like 1234.50"),
        ("INV-1,,1.001", "amount “1.001” is no amount in USD, like 1234.50"),
        ("INV-3,,1.5", "amount “1.5” is no amount in JPY, like 1234.50"),
        ("BIL-1,,1.2345", "amount “1.2345” is no amount in KWD, like 1234.50"),
        ("INV-1,,92233720368547758.08", "amount “92233720368547758.08” is no amount in USD"),
        (f"INV-1,{'x' * 101}", "reference has 101 characters; at most 100 are kept"),
        ("INV-1,A\x00B", "the reference of “INV-1” holds signs that can't be shown"),
        ("INV-1,A\u202eB", "the reference of “INV-1” holds signs that can't be shown"),
        ("INV-1,QB-1,1,234.50", "it has more cells than number, reference and amount"),
    ],
)
def test_why_a_line_is_not_used(line: str, says: str) -> None:
    (sentence,) = unused(line)
    assert sentence.startswith(f"Line 1: {says}")
    assert sentence.endswith(".")
    good = read(f"INV-2,QB-2,5\n{line}")
    assert good.evidence == {"invoice": {2: Evidence("QB-2", 5_00)}}
    assert len(good.unused) == 1
    assert good.unused[0].startswith(f"Line 2: {says}")


def test_thousands_between_commas_are_never_another_amount() -> None:
    """The amount would be 1.00."""
    for line in ("INV-1,QB-1,1,234.50", "Number,Reference,Amount\nINV-1,QB-1,1,234.50"):
        result = read(line)
        assert result.evidence == {}
        assert "more cells than" in result.unused[0]


def test_a_number_that_stands_twice_is_used_for_none() -> None:
    result = read("INV-1,A\nINV-2,B\ninv-1,C\nINV-1,A")
    assert result.evidence == {"invoice": {2: Evidence("B")}}
    assert result.unused == (
        "Line 3: INV-1 stands in line 1 too; neither is used.",
        "Line 4: INV-1 stands in line 1 too; neither is used.",
    )


def test_a_long_line_is_one_sentence() -> None:
    """A reader of its own has a limit of 131,072 signs a cell."""
    for line in (
        "x" * 200_000,
        f"INV-1,{'x' * 200_000}",
        f'"{"x" * 200_000}',
        f"INV-1\t{DUPLICATE * 9}",
    ):
        (sentence,) = unused(line)
        assert sentence.startswith("Line 1: ")
        assert len(sentence) < 200


cells = st.sampled_from(
    [
        "INV-1",
        "inv-2",
        "SAME",
        "number",
        "amount",
        "reference",
        "1,5",
        "$",
        "-1",
        '"',
        "",
        " ",
        "9" * 30,
    ]
) | st.text(max_size=8)


@given(st.lists(st.lists(cells, max_size=5), max_size=5), st.sampled_from("\t;,|"))
@example([["INV-1", "\ud800"]], ",")
@example([['"']], ",")
def test_any_text_gives_an_answer(rows: Sequence[Sequence[str]], delimiter: str) -> None:
    answer(pasted("\n".join(delimiter.join(row) for row in rows)))


@given(st.text(max_size=60))
def test_any_signs_give_an_answer(text: str) -> None:
    answer(pasted(text))


plain = st.none() | st.booleans() | st.integers() | st.floats() | cells


@given(st.lists(st.lists(plain, max_size=5), max_size=5))
def test_any_cells_give_an_answer(rows: Sequence[Sequence[object]]) -> None:
    answer(list(enumerate(rows, start=1)))


def answer(lines: Sequence[tuple[int, Sequence[object]]]) -> None:
    result = matched(lines, SELECTED)
    assert result.count + len(result.unused) <= len(lines)
    assert all(sentence.startswith("Line ") for sentence in result.unused)
    allowed = {(record.entity, record.record_id) for record in (INVOICE, OTHER, YEN, DINAR)}
    for key, records in result.evidence.items():
        for record, evidence in records.items():
            assert (key, record) in allowed
            assert evidence != Evidence()


@given(st.text(st.characters().filter(str.isprintable), min_size=1, max_size=20))
def test_a_reference_in_quotes_is_kept_as_it_is(reference: str) -> None:
    line = io.StringIO()
    csv.writer(line, delimiter="\t", quoting=csv.QUOTE_ALL).writerow(["INV-1", reference])
    kept = reference.strip()
    assert read(line.getvalue()).evidence == ({"invoice": {1: Evidence(kept)}} if kept else {})


# ---------------------------------------------------------------- one amount, typed


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("", "USD", None),
        ("  ", "USD", None),
        ("1,234.50", "USD", 123_450),
        (" $5 ", "USD", 500),
        ("1234", "JPY", 1234),
        ("1.234", "KWD", 1234),
        ("-0.01", "USD", -1),
        ("92233720368547758.07", "USD", 2**63 - 1),
    ],
)
def test_an_amount(text: str, currency: str, minor: int | None) -> None:
    assert read_amount(text, currency) == (minor, "")


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("abc", "USD"),
        ("1.005", "USD"),
        ("1.5", "JPY"),
        ("1,23", "USD"),
        ("9" * 40, "USD"),
        ("NaN", "USD"),
        ("1e3", "USD"),
    ],
)
def test_no_amount(text: str, currency: str) -> None:
    minor, says = read_amount(text, currency)
    assert minor is None
    assert says == f"Amount “{text}” is no amount in {currency}, like 1234.50."

"""What each row is, and the documents that the rows make: none dropped, doubled or misnamed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synchist.reconciliation.vocabulary import KINDS
from tests.reconciliation.parsing import documents, listed, parsed

TITLE = (
    "Ashgrove\nTransaction List by Customer\nSeptember 2026\n\n,Date,Transaction type,Num,Amount\n"
)


def grouped(*lines: str) -> str:
    """A report by customer. `Ash` is a heading, `/Ash` its total, `1 10.00` an invoice."""
    rows = []
    for line in lines:
        if line.startswith("/"):
            rows.append(f'"Total for {line[1:]}",,,,1.00')
        elif line[0].isdigit() and line.endswith(".00"):
            rows.append(",09/13/2026,Invoice,{},{}".format(*line.split()))
        else:
            rows.append(f'"{line}",,,,')
    return TITLE + "\n".join(rows)


@pytest.mark.parametrize(
    ("lines", "parties"),
    [
        (["Ash", "1 1.00", "/Ash", "Elm", "2 1.00", "/Elm"], ["Ash", "Elm"]),
        (["Ash", "1 1.00", "Elm", "2 1.00"], ["Ash", "Elm"]),
        (["Ash", "/Ash", "Elm", "2 1.00", "/Elm"], ["Elm"]),
        # Customers within customers: what follows the inner total is the outer one's.
        (
            ["Ash", "Ash:West", "1 1.00", "/Ash:West", "2 1.00", "/Ash", "Elm", "3 1.00", "/Elm"],
            ["Ash:West", "Ash", "Elm"],
        ),
        (["Ash", "West", "1 1.00", "/West", "2 1.00", "/Ash"], ["West", "Ash"]),
        (["A", "Ash", "1 1.00", "/Ash", "2 1.00", "/A"], ["Ash", "A"]),
        (["Ash & Sons, Ltd", "1 1.00", "/Ash & Sons, Ltd"], ["Ash & Sons, Ltd"]),
        # Names that look like something else.
        (["60 - 90 Days Freight", "1 1.00", "/60 - 90 Days Freight"], ["60 - 90 Days Freight"]),
        (["Current Freight", "1 1.00", "/Current Freight"], ["Current Freight"]),
        (["9/11 Memorial", "1 1.00", "/9/11 Memorial"], ["9/11 Memorial"]),
        (["1/1/2026", "1 1.00", "/1/1/2026"], ["1/1/2026"]),
        (["4711", "1 1.00", "/4711"], ["4711"]),
        (["Total Trucking", "1 1.00", "/Total Trucking"], ["Total Trucking"]),
        (["Balance Forward Inc", "1 1.00", "/Balance Forward Inc"], ["Balance Forward Inc"]),
        (["Accrual", "1 1.00", "/Accrual", "Total", "2 1.00", "/Total"], ["Accrual", "Total"]),
    ],
)
def test_whose_a_document_is(lines: list[str], parties: list[str]) -> None:
    assert documents(parsed(grouped(*lines)), "party") == parties


@pytest.mark.parametrize(
    "lines",
    [
        ["Ash", "Current", "1 1.00", "/Current", "/Ash"],
        ["Current", "Ash", "1 1.00", "/Ash", "/Current"],
        ["91 and over", "Ash", "1 1.00", "/Ash", "/91 and over"],
    ],
)
def test_buckets_may_hold_customers_and_customers_buckets(lines: list[str]) -> None:
    assert documents(parsed(grouped(*lines)), "party") == ["Ash"]


def test_an_ageing_bucket_is_no_party() -> None:
    rows = [
        *(
            "Current,,,,,,",
            ",09/13/2026,Invoice,1,Ash,10.00,4.00",
            "Total for Current,,,,,10.00,4.00",
        ),
        *("1 - 30 days past due,,,,,,", ",08/13/2026,Invoice,2,,5.00,5.00"),
        *("Total for 1 - 30 days past due,,,,,5.00,5.00", "TOTAL,,,,,15.00,9.00"),
    ]
    headings = ",Date,Transaction type,Num,Customer,Amount,Open balance"
    answer = parsed(
        "A/R Aging Detail\nAs of September 30, 2026\n" + listed(*rows, headings=headings)
    )
    assert documents(answer, "reference", "party") == [("1", "Ash"), ("2", "")]
    assert answer["file_total"] == answer["control_total"] == 150_000


# ---------------------------------------------------------------- rows that are no documents


def test_every_row_is_used_or_left_out_for_a_reason() -> None:
    rows = (
        *("Beginning Balance,,,,100.00", "09/13/2026,Invoice,1,Ash,10.00", ",,,,", "Note,,,,"),
        *(",Invoice,2,Ash,10.00", "no,Invoice,3,Ash,10.00", "09/31/2026,Invoice,4,Ash,10.00"),
        *("09/30/2026,,5,Ash,10.00", "09/30/2026,Invoice,6,Ash,", "09/30/2026,Invoice,7,Ash,ten"),
        *("Date,Transaction type,Num,Name,Amount", "TOTAL,,,,10.00"),
        '"Tuesday, October 6, 2026 09:12 AM GMT-04:00 - Accrual Basis",,,,',
    )
    answer = parsed("Invoice List\nSeptember 2026\n" + listed(*rows))
    assert answer["skipped"] == {
        **{"can't be read": 2, "no amount": 2, "title": 2, "balance": 1, "blank": 1},
        **{"group heading": 1, "no date": 1, "no transaction type": 1, "repeated headings": 1},
        **{"total": 1, "footer": 1, "headings": 1},
    }
    assert answer["used"] == 1
    assert answer["rows_read"] == 16
    assert answer["basis"] == "accrual"
    assert answer["warnings"] == [
        "Left out: 1 row without the kind of transaction.",
        "Left out: 2 rows without an amount.",
        "Left out: 1 row without a date.",
        "Left out: 2 rows with a date that can't be read.",
    ]
    assert [1, "x"] not in answer["left_out"]
    assert (8, "no date", "Invoice · 2 · Ash · 10.00") in answer["left_out"]


CELLS = st.sampled_from(
    [*("", "", "Ash", "Total", "Total for Ash", "Invoice", "Payment", "Bill", "Mystery", "*"),
     *("09/13/2026", "13.09.2026", "2026-02-30", "1.00", "(2.00)", "1,5", "1 - 30", "Date", "Num"),
     *("Accounts Receivable (A/R)", "Beginning Balance", "Accrual basis", "7.1E+13", "=1")]
)  # fmt: skip


@given(st.lists(st.lists(CELLS, min_size=1, max_size=6), max_size=12), st.sampled_from(KINDS))
def test_no_row_is_lost_whatever_stands_in_it(rows: list[list[str]], kind: str) -> None:
    lines = [",".join(f'"{cell}"' for cell in row) for row in rows]
    for title in ("", "General Ledger\n", "A/R Aging Detail\n"):
        answer = parsed(title + listed(*lines), kind)
        if "wrong" not in answer:
            assert answer["used"] + sum(answer["skipped"].values()) == answer["rows_read"]
            assert len(answer["documents"]["row"]) <= answer["used"]
            assert all(amount >= 0 for amount in answer["documents"]["amount"])


def test_totals_are_no_documents_even_with_a_date() -> None:
    rows = (
        *("09/01/2026,,Ash,Balance forward,100.00", "09/13/2026,1,Ash,,10.00"),
        *("09/30/2026,TOTAL,,,110.00", "09/30/2026,,Total,,110.00", "Total,,,,110.00"),
        *("09/14/2026,2,Total Trucking,Total of two loads,5.00",),
    )
    answer = parsed(listed(*rows, headings="Date,Num,Customer,Memo,Amount"))
    assert documents(answer, "reference", "amount") == [("1", "10.00"), ("2", "5.00")]


def test_pages_repeat_titles_and_headings() -> None:
    page = (
        "Ashgrove\nInvoice List\nSeptember 2026\nPage {}\nDate,Transaction type,Num,Name,Amount\n"
    )
    pages = [page.format(at) + f"09/1{at}/2026,Invoice,{at},Ash,10.00\n" for at in (1, 2, 3)]
    answer = parsed("".join(pages))
    assert documents(answer, "row", "reference") == [(6, "1"), (12, "2"), (18, "3")]
    assert answer["skipped"]["repeated headings"] == 2
    assert answer["skipped"]["repeated title"] == 6


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        *(("Paid", None), ("Open", None), ("Approved", None), ("", None)),
        *(("Void", "void"), ("VOIDED", "void"), ("Deleted", "void"), ("Cancelled", "void")),
        *(("Draft", "draft"), ("Submitted", "draft"), ("Pending Approval", "draft")),
        *(("Rejected", "not posted"), ("Unposted", "not posted")),
    ],
)  # fmt: skip
def test_what_is_not_in_the_books_is_left_out(status: str, reason: str | None) -> None:
    row = f"09/13/2026,1,Ash,10.00,{status}"
    answer = parsed(listed(row, headings="Invoice Date,Invoice Number,Customer,Total,Status"))
    assert documents(answer, "reference") == ([] if reason else ["1"])
    assert reason is None or answer["skipped"][reason] == 1


@pytest.mark.parametrize(
    ("posting", "posted"), [("Y", 1), ("Yes", 1), ("", 1), ("N", 0), ("No", 0)]
)
def test_unposted_rows_are_left_out(posting: str, posted: int) -> None:
    headings = "Date,Transaction type,Num,Posting (Y/N),Name,Amount"
    answer = parsed(listed(f"09/13/2026,Invoice,1,{posting},Ash,10.00", headings=headings))
    assert len(documents(answer, "row")) == posted
    assert answer["skipped"].get("not posted", 0) == 1 - posted


# ---------------------------------------------------------------- signs and sums


def test_amounts_are_absolute_and_the_control_total_is_signed() -> None:
    rows = (
        *("09/01/2026,Bill Payment (Check),1,Elm,-10.00", "TOTAL,,,,(5.00)"),
        "09/02/2026,Bill Payment (Credit Card),2,Elm,5.00",
    )
    answer = parsed("Bill Payment List\nSeptember 2026\n" + listed(*rows), "bill_payment")
    assert documents(answer, "amount") == ["10.00", "5.00"]
    assert answer["control_total"] == answer["file_total"] == -50_000
    assert answer["warnings"] == []


def test_a_total_that_does_not_tie_is_said() -> None:
    answer = parsed("Invoice List\n" + listed("09/13/2026,Invoice,1,Ash,10.00", "TOTAL,,,,12.00"))
    assert answer["warnings"] == ["The report's own total is 12.00, its rows add up to 10.00."]


def test_a_total_is_held_against_the_column_that_it_stands_in() -> None:
    rows = (
        *("09/01/2026,Invoice,1,Ash,10.00,4.00", "09/02/2026,Payment,,Ash,-10.00,-3.00"),
        *("09/02/2026,Credit Memo,3,Ash,-1.00,-1.00", "TOTAL,,,,,0.00"),
    )
    headings = "Date,Transaction type,Num,Customer,Amount,Open balance"
    answer = parsed("A/R Aging Detail\n" + listed(*rows, headings=headings))
    assert answer["file_total"] == answer["control_total"] == 0
    assert answer["warnings"] == []


def test_in_a_list_without_types_those_of_the_other_sign_are_credits() -> None:
    rows = ("09/13/2026,1,Ash,10.00", "09/14/2026,2,Ash,-3.00", "09/15/2026,3,Ash,5.00")
    answer = parsed(listed(*rows, headings="Date,Num,Customer,Amount"))
    assert documents(answer, "reference", "amount") == [("1", "10.00"), ("3", "5.00")]
    assert answer["skipped"]["credit memo"] == 1
    rows = ("09/13/2026,1,Elm,,10.00", "09/14/2026,2,Elm,3.00,", "09/15/2026,3,Elm,,5.00")
    answer = parsed(listed(*rows, headings="Date,Num,Vendor,Debit,Credit"), "bill")
    assert documents(answer, "reference", "amount") == [("1", "10.00"), ("3", "5.00")]
    assert answer["skipped"]["vendor credit"] == 1


def test_in_an_ageing_file_without_a_title_a_negative_one_is_a_credit() -> None:
    rows = ("Ash,1,09/13/2026,,-10.00,-10.00", "Ash,2,09/14/2026,,-3.00,-3.00")
    headings = "Customer,Num,Date,Current,1 - 30,Open balance"
    answer = parsed(listed(*rows, headings=headings))
    assert documents(answer, "row") == []
    assert answer["skipped"]["credit memo"] == 2


@pytest.mark.parametrize(
    ("headings", "row", "currency"),
    [
        ("Amount,Currency", "10.00,cad", "CAD"),
        ("Amount,Currency", "10.00,US Dollar", ""),
        ("Amount", "EUR 10.00", "EUR"),
        ("Amount", "€10.00", "EUR"),
        ("Amount", "$10.00", ""),
        ("Amount", "10.00 CR", ""),
    ],
)
def test_the_currency(headings: str, row: str, currency: str) -> None:
    rows = listed(f"2026-09-13,Invoice,1,Ash,{row}", headings=f"Date,Type,Num,Customer,{headings}")
    assert documents(parsed(rows), "currency") == [currency]


@pytest.mark.parametrize(
    ("reference", "mangled"),
    [("7.1E+13", True), ("7.1e13", True), ("7E15", True), ("00071234", False), ("E13", False)],
)
def test_a_number_that_a_spreadsheet_shortened_is_said(reference: str, mangled: bool) -> None:
    answer = parsed(listed(f"09/13/2026,Invoice,{reference},Ash,10.00"))
    assert documents(answer, "reference") == [reference]
    assert any("A spreadsheet has shortened" in one for one in answer["warnings"]) == mangled


# ---------------------------------------------------------------- lines of documents


def test_lines_add_up_to_documents() -> None:
    rows = (
        *("09/13/2026,1,Ash,Freight,12.00", "09/13/2026,1,Ash,Discount,-2.00"),
        *("09/13/2026,1,Elm,Freight,4.00", "09/14/2026,,Ash,x,1.00", "09/14/2026,,Ash,x,1.00"),
    )
    answer = parsed(listed(*rows, headings="Date,Num,Customer,Product/Service,Amount"))
    assert documents(answer, "reference", "party", "amount") == [
        *(("1", "Ash", "10.00"), ("1", "Elm", "4.00"), ("", "Ash", "1.00"), ("", "Ash", "1.00"))
    ]


XERO = "ContactName,InvoiceNumber,InvoiceDate,DueDate,Total,InvoiceAmountDue,Quantity,LineAmount"


def test_a_total_that_each_line_repeats_counts_once() -> None:
    rows = (
        *("Ash,INV-1,13/09/2026,30/09/2026,30.0000,20.0000,1,10.0000",),
        *("Ash,INV-1,13/09/2026,30/09/2026,30.0000,20.0000,1,20.0000",),
        *("Ash,INV-2,14/09/2026,30/09/2026,9.0000,0,1,9.0000",),
    )
    answer = parsed(listed(*rows, headings=XERO))
    assert documents(answer, "reference", "amount", "open_balance") == [
        *(("INV-1", "30.00", "20.00"), ("INV-2", "9.00", 0))
    ]
    assert answer["control_total"] == 390_000


def test_totals_of_lines_add_up() -> None:
    """A column may be called Total and hold that of the line."""
    rows = ("09/13/2026,1,Ash,a,10.00", "09/13/2026,1,Ash,b,20.00", "09/14/2026,2,Ash,b,20.00")
    answer = parsed(listed(*rows, headings="Date,Num,Customer,Item,Total"))
    assert documents(answer, "reference", "amount") == [("1", "30.00"), ("2", "20.00")]


def test_of_a_netsuite_search_only_main_lines_are_documents() -> None:
    rows = (
        *("*,9/13/2026,Invoice,1,Ash,10.00", ",9/13/2026,Invoice,1,Ash,-6.00"),
        *(",9/13/2026,Invoice,1,Ash,-4.00", "*,9/14/2026,Invoice,2,Ash,5.00"),
    )
    answer = parsed(listed(*rows, headings="*,Date,Type,Document Number,Name,Amount"))
    assert documents(answer, "reference", "amount") == [("1", "10.00"), ("2", "5.00")]
    assert answer["control_total"] == 150_000


@pytest.mark.parametrize(
    ("headings", "rows", "amount"),
    [
        ("Amount Paid,Bill Number", ("10.00,B1", "20.00,B2"), "30.00"),
        ("Payment Amount,Bill Number,Applied", ("30.00,B1,10.00", "30.00,B2,20.00"), "30.00"),
    ],
)
def test_a_payment_of_several_bills_is_one(
    headings: str, rows: tuple[str, ...], amount: str
) -> None:
    listed_ = listed(
        *(f"77,09/13/2026,Elm,{row}" for row in rows),
        headings=f"Payment No,Payment Date,Vendor,{headings}",
    )
    answer = parsed(listed_, "bill_payment")
    assert documents(answer, "reference", "amount", "also") == [("77", amount, "B1\nB2")]
    assert answer["control_total"] == 300_000


# ---------------------------------------------------------------- ledgers

LEDGER = (
    "Ashgrove\nGeneral Ledger\nSeptember 2026\n\n,Date,Transaction Type,Num,Name,Split,Amount\n"
)
RECEIVABLE, PAYABLE = "Accounts Receivable (A/R)", "Accounts Payable (A/P)"


def ledger(**accounts: list[str]) -> str:
    """A general ledger; of the names of accounts the first underscore begins another heading."""
    rows = []
    for name, lines in accounts.items():
        rows += [f"{name},,,,,,", *(f",{line}" for line in lines), f"Total for {name},,,,,,1.00"]
    return LEDGER + "\n".join(rows)


WHOLE = ledger(
    **{
        "Checking": [
            "09/05/2026,Payment,,Ash,A/R,10.00",
            "09/05/2026,Payment,,Ash,A/R,10.00",
            "09/06/2026,Bill Payment (Check),9,Elm,A/P,-7.00",
        ],
        RECEIVABLE: [
            "09/01/2026,Invoice,1,Ash,Sales,20.00",
            "09/05/2026,Payment,,Ash,Checking,-10.00",
            "09/05/2026,Payment,,Ash,Checking,-10.00",
        ],
        PAYABLE: [
            "09/01/2026,Bill,77,Elm,Costs,7.00",
            "09/01/2026,Bill,77,Fir,Costs,8.00",
            "09/06/2026,Bill Payment (Check),9,Elm,Checking,-7.00",
        ],
        "Sales": ["09/01/2026,Invoice,1,Ash,A/R,16.00", "09/01/2026,Invoice,1,Ash,A/R,4.00"],
        "Costs": ["09/01/2026,Bill,77,Elm,A/P,7.00", "09/01/2026,Bill,77,Fir,A/P,8.00"],
    }
)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("invoice", [("1", "Ash", "20.00")]),
        ("invoice_payment", [("", "Ash", "10.00"), ("", "Ash", "10.00")]),
        ("bill", [("77", "Elm", "7.00"), ("77", "Fir", "8.00")]),
        ("bill_payment", [("9", "Elm", "7.00")]),
    ],
)
def test_of_a_ledger_the_lines_of_receivables_and_payables_count(
    kind: str, found: list[tuple[str, ...]]
) -> None:
    answer = parsed(WHOLE, kind)
    assert documents(answer, "reference", "party", "amount") == found
    assert answer["coverage"] == "all of a period"
    assert not any("account" in one for one in answer["warnings"])


def test_of_income_accounts_alone_the_lines_add_up_and_prove_nothing() -> None:
    report = ledger(
        Freight=["09/01/2026,Invoice,1,Ash,A/R,16.00", "09/02/2026,Invoice,2,Ash,A/R,5.00"],
        Discounts=["09/01/2026,Invoice,1,Ash,A/R,-4.00"],
    )
    answer = parsed(report)
    assert documents(answer, "reference", "amount") == [("1", "12.00"), ("2", "5.00")]
    assert answer["coverage"] == "unknown"


def test_a_loan_payable_is_not_accounts_payable() -> None:
    report = ledger(
        **{
            PAYABLE: ["09/01/2026,Bill,1,Bank,,800.00"],
            "Loan Payable": ["09/01/2026,Bill,1,Bank,,-500.00"],
            "Interest": ["09/01/2026,Bill,1,Bank,,300.00"],
        }
    )
    assert documents(parsed(report, "bill"), "amount") == ["800.00"]


def test_receivables_may_be_parted_into_accounts() -> None:
    report = LEDGER + "\n".join(
        [
            *(f"{RECEIVABLE},,,,,,", "Trade,,,,,,", ",09/03/2026,Payment,,Ash,,-8.00"),
            *("Total for Trade,,,,,,1.00", f"Total for {RECEIVABLE},,,,,,1.00"),
            *("Bank,,,,,,", ",09/03/2026,Payment,,Ash,A/R,8.00", "Total for Bank,,,,,,1.00"),
        ]
    )
    answer = parsed(report, "invoice_payment")
    assert documents(answer, "row", "amount") == [(8, "8.00")]
    assert answer["coverage"] == "all of a period"


def test_a_document_on_an_account_that_nobody_knows_is_said() -> None:
    report = ledger(
        **{
            RECEIVABLE: ["09/01/2026,Invoice,1,Ash,Sales,10.00"],
            "1210 Customers abroad": ["09/01/2026,Invoice,2,Elm,Sales,20.00"],
        }
    )
    answer = parsed(report)
    assert documents(answer, "reference") == ["1"]
    assert answer["skipped"]["other account"] == 1
    assert answer["warnings"] == [
        "Left out: 1 row on an account that is neither receivables nor payables."
    ]


def test_a_journal_is_balanced_and_counts_one_side() -> None:
    headings = ",Date,Transaction Type,Num,Name,Account,Debit,Credit"
    rows = (
        *("14,,,,,,,", ",09/01/2026,Invoice,1,Ash,Accounts Receivable,10.00,"),
        *(",09/01/2026,Invoice,1,Ash,Sales,,6.00", ",09/01/2026,Invoice,1,Ash,Sales,,4.00"),
        *("Total for 14,,,,,,10.00,10.00", "15,,,,,,,"),
        *(",09/02/2026,Payment,,Ash,Bank,10.00,", ",,,,Ash,Accounts Receivable,,10.00"),
        *("Total for 15,,,,,,10.00,10.00", "16,,,,,,,"),
        *(",09/02/2026,Payment,,Ash,Accounts Receivable,,3.00", ",,,,Ash,Bank,3.00,"),
        *("Total for 16,,,,,,3.00,3.00",),
    )
    report = "Ashgrove\nJournal\nSeptember 2026\n" + listed(*rows, headings=headings)
    assert documents(parsed(report), "reference", "amount") == [("1", "10.00")]
    answer = parsed(report, "invoice_payment")
    assert documents(answer, "amount") == ["10.00", "3.00"]  # whichever of its lines comes first

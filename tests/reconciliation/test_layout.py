"""Which report a file is and where its columns are: by its content, with misleading names about."""

import pytest

from synchist.reconciliation.vocabulary import fold, type_of
from tests.reconciliation.parsing import documents, listed, parsed, workbook

ALL, OPEN, UNKNOWN = "all of a period", "open items only", "unknown"

# ---------------------------------------------------------------- headings


@pytest.mark.parametrize(
    "cell",
    [
        *("*InvoiceNumber", "Invoice_Number:", " invoice   number ", "INVOICE NUMBER."),
        *("InvoiceNumber", "Invoice Number (USD)"),
    ],
)
def test_a_heading_is_compared_without_its_decoration(cell: str) -> None:
    assert fold(cell) == "invoice number"


@pytest.mark.parametrize(
    "headings",
    [
        "Date,Transaction type,Num,Name,Amount",
        "Transaction date,Type,No.,Customer full name,Amount",
        "*InvoiceDate,Type,*InvoiceNumber,*ContactName,Total",
        "Txn_Date,Doc_Type,Doc_No,Client,Gross",
        "DATE,TRANS TYPE,REF #,DEBTOR,ORIGINAL AMOUNT",
    ],
)
def test_columns_are_found_by_their_synonyms(headings: str) -> None:
    answer = parsed(listed("09/13/2026,Invoice,7,Ash,10.00", headings=headings))
    assert documents(answer, "date", "reference", "party", "amount") == [
        ("2026-09-13", "7", "Ash", "10.00")
    ]


@pytest.mark.parametrize(
    ("headings", "row", "amount", "open_balance"),
    [
        ("Amount,Open balance", "10.00,4.00", "10.00", "4.00"),
        ("Amount,Balance", "10.00,99.00", "10.00", None),  # a running one
        ("Amount,Running Balance,Age", "10.00,99.00,31", "10.00", None),
        ("Net,VAT,Gross", "10.00,2.00,12.00", "12.00", None),
        ("Amount,Tax,Total", "10.00,1.00,11.00", "11.00", None),
        ("Original Amount,Amount Paid,Open Balance", "10.00,4.00,6.00", "10.00", "6.00"),
        ("Past due,Open balance", "31,4.00", "4.00", "4.00"),
        ("Amount,Amount", "10.00,99.00", "10.00", None),
        ("Amount,Foreign amount,Currency", "10.00,9.00,EUR", "9.00", None),
    ],
)
def test_the_column_of_the_amount(
    headings: str, row: str, amount: str, open_balance: str | None
) -> None:
    answer = parsed(
        listed(f"09/13/2026,Invoice,7,Ash,{row}", headings=f"Date,Type,Num,Customer,{headings}")
    )
    assert documents(answer, "amount", "open_balance") == [(amount, open_balance)]


def test_an_amount_may_be_a_debit_or_a_credit() -> None:
    rows = ("09/13/2026,Bill,7,Ash,,10.00", "09/14/2026,Bill,8,Ash,3.00,")
    answer = parsed(listed(*rows, headings="Date,Type,Num,Vendor,Debit,Credit"), "bill")
    assert documents(answer, "reference", "amount") == [("7", "10.00"), ("8", "3.00")]


def test_a_list_with_no_amount_is_asked_about() -> None:
    answer = parsed(listed("09/13/2026,Invoice,7,Ash,1.00", headings="Date,Type,Num,Name,Balance"))
    assert answer["unmapped"].startswith("We can't tell which columns")
    assert answer["preview"][1] == ["09/13/2026", "Invoice", "7", "Ash", "1.00"]


@pytest.mark.parametrize("above", [0, 6, 24, 59])
def test_headings_may_stand_far_down(above: int) -> None:
    answer = parsed("Note\n" * above + listed("09/13/2026,Invoice,1,Ash,10.00"))
    assert documents(answer, "row", "amount") == [(above + 2, "10.00")]
    assert answer["header"] == above + 1


def test_the_time_stamp_may_stand_among_the_headings() -> None:
    headings = "3:15 PM,,Type,Date,Num,Name,Amount"
    answer = parsed(listed(",,Invoice,09/13/2026,1,Ash,10.00", headings=headings))
    assert documents(answer, "reference", "amount") == [("1", "10.00")]


# ---------------------------------------------------------------- titles and companies

GROUPED = listed(
    *("Ash,,,,", ",09/13/2026,Invoice,1,10.00", "Total for Ash,,,,10.00"),
    headings=",Date,Transaction type,Num,Amount",
)
COMPANIES = [
    *("Budget Freight LLC", "Total Trucking", "Invoice Factoring Partners", "Wage Freight"),
    *("Journal Square Logistics", "Balance Sheet Movers", "Check Register Freight"),
    *("Open Bills Trucking", "Estimates Express, Inc.", "Trial Balance Haulage"),
    *("General Ledger Carriers LLC", "Aged Payables Brokerage"),
]


@pytest.mark.parametrize("company", COMPANIES)
@pytest.mark.parametrize("title", ["Transaction List by Customer", ""])
@pytest.mark.parametrize("quote", ['"', ""])
def test_a_company_is_no_title(company: str, title: str, quote: str) -> None:
    lines = [f"{quote}{company}{quote}", title, "September 2026", "", GROUPED]
    answer = parsed("\n".join(lines))
    assert answer["report"] == title
    assert answer["coverage"] == (ALL if title else UNKNOWN)
    assert documents(answer, "party", "amount") == [("Ash", "10.00")]


@pytest.mark.parametrize(
    ("lines", "title"),
    [
        (["Ashgrove LLC", "Invoice List"], "Invoice List"),
        (["Invoice List", "Ashgrove LLC"], "Invoice List"),
        (["Ashgrove Freight LLC - Invoice List"], "Ashgrove Freight LLC - Invoice List"),
        (["Invoice List - Ashgrove Freight LLC"], "Invoice List - Ashgrove Freight LLC"),
        (["Invoice List for Ashgrove LLC"], "Invoice List for Ashgrove LLC"),
        (["Freight Invoice Register"], "Freight Invoice Register"),
    ],
)
def test_a_title_is_found_beside_the_company(lines: list[str], title: str) -> None:
    answer = parsed("\n".join([*lines, "", listed("09/13/2026,Invoice,1,Ash,10.00")]))
    assert answer["report"] == title
    assert answer["coverage"] == ALL


@pytest.mark.parametrize(
    ("title", "says"),
    [
        ("Balance Sheet", "a balance sheet"),
        ("Ashgrove LLC - Profit and Loss", "a profit and loss report"),
        ("A/R Aging Summary", "an ageing summary"),
        ("Vendor Contact List", "a contact list"),
        ("Trial Balance", "a trial balance"),
        ("Budget", "a budget"),
    ],
)
def test_another_report_is_named(title: str, says: str) -> None:
    assert says in parsed(f"{title}\n\n,Total\nIncome,10.00\n")["wrong"]


@pytest.mark.parametrize(
    ("title", "kind", "says"),
    [
        (
            "A/P Aging Detail",
            "invoice",
            "These are payables (A/P Aging Detail), the page is Invoices",
        ),
        ("Open Invoices", "bill", "These are receivables (Open Invoices), the page is Bills."),
        ("Bill Payment List", "bill", "These are bill payments (Bill Payment List)"),
    ],
)
def test_the_other_side_is_refused(title: str, kind: str, says: str) -> None:
    rows = listed("09/13/2026,1,Ash,10.00", headings="Date,Num,Name,Amount")
    assert parsed(f"{title}\n{rows}", kind)["wrong"].startswith(says)


# ---------------------------------------------------------------- coverage

INVOICE = "09/13/2026,Invoice,1,Ash,10.00"


@pytest.mark.parametrize(
    ("title", "coverage"),
    [
        *(("Invoice List", ALL), ("Transaction List by Date", ALL), ("Customer ledger", ALL)),
        *(("Open Invoices", OPEN), ("A/R Aging Detail", OPEN), ("Customer Balance Detail", OPEN)),
        *(("Transaction Search: Results", UNKNOWN), ("", UNKNOWN), ("September", UNKNOWN)),
        ("General Ledger", UNKNOWN),  # nobody knows whether receivables are among its accounts
    ],
)  # fmt: skip
def test_what_each_report_proves(title: str, coverage: str) -> None:
    assert parsed(f"{title}\n\n{listed(INVOICE)}")["coverage"] == coverage


def test_a_list_that_holds_none_of_a_kind_proves_nothing_about_it() -> None:
    """It was filtered, or shows something else: else every invoice would count as missing."""
    rows = ("09/13/2026,Payment,1,Ash,10.00", "09/13/2026,Bill,1,Elm,10.00")
    answer = parsed("Transaction List by Date\nSeptember 2026\n\n" + listed(*rows))
    assert answer["coverage"] == UNKNOWN
    assert documents(answer, "row") == []
    assert "The file holds no invoices." in answer["warnings"]


def test_an_empty_list_is_an_answer_and_no_error() -> None:
    answer = parsed("Invoice List\nSeptember 2026\n\n" + listed())
    assert (answer["coverage"], answer["start"], answer["end"]) == (ALL, "2026-09-01", "2026-09-30")
    assert answer["documents"]["row"] == []
    assert answer["warnings"] == []


# ---------------------------------------------------------------- types of transactions


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        *(("Invoice", "invoice"), ("INVOICE ", "invoice"), ("Sales  Invoice", "invoice")),
        *(("Payment", "invoice_payment"), ("CustPymt", "invoice_payment"), ("ACCREC", "invoice")),
        *(("Bill", "bill"), ("Vendor Bill", "bill"), ("ACCPAY", "bill")),
        *(("Vendor Invoice", "bill"), ("Supplier Invoice", "bill")),
        *(("Bill Payment (Check)", "bill_payment"), ("Bill Pmt -ACH", "bill_payment")),
        *(("Vendor Payment", "bill_payment"), ("Customer Payment", "invoice_payment")),
        *(("Credit Memo", "credit memo"), ("Vendor Credit", "vendor credit")),
        *(("Journal Entry", "journal entry"), ("Standard Invoice", "standard invoice")),
        *(("", None), (" ", None), (7, None)),
    ],
)  # fmt: skip
def test_types_have_many_names(cell: object, kind: str | None) -> None:
    assert type_of(cell) == kind


MIXED = listed(
    *("09/01/2026,Invoice,1,Ash,10.00", "09/02/2026,Payment,2,Ash,-20.00"),
    *("09/03/2026,Bill,3,Elm,30.00", "09/04/2026,Bill Payment (Check),4,Elm,-40.00"),
    *("09/05/2026,Credit Memo,5,Ash,-50.00", "09/06/2026,Standard Invoice,6,Ash,60.00"),
    *("09/07/2026,,7,Ash,70.00", "09/08/2026,Deposit,8,Ash,80.00"),
)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("invoice", ("1", "Invoice", "10.00")),
        ("invoice_payment", ("2", "Payment", "20.00")),
        ("bill", ("3", "Bill", "30.00")),
        ("bill_payment", ("4", "Bill Payment", "40.00")),
    ],
)
def test_all_four_in_one_list(kind: str, found: tuple[str, ...]) -> None:
    answer = parsed(MIXED, kind)
    assert documents(answer, "reference", "type", "amount") == [found]
    assert answer["used"] + sum(answer["skipped"].values()) == answer["rows_read"] == 9
    assert answer["control_total"] == 700_000  # all but the one that says nothing
    assert "Left out: 1 row without the kind of transaction." in answer["warnings"]
    assert "Left out: 1 row of a kind that we don't know: “standard invoice”." in answer["warnings"]


# ---------------------------------------------------------------- sheets


def test_of_two_lists_the_fuller_one_is_read() -> None:
    summary = [("Date", "Name", "Amount"), ("2026-09-13", "Ash", 10)]
    whole = [
        ("Date", "Transaction type", "Num", "Name", "Amount"),
        ("2026-09-13", "Invoice", "1", "Ash", 10),
    ]
    assert parsed(workbook(Summary=summary, Detail=whole))["sheet"] == 1

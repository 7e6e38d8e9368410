"""The life of a made-up freight broker, told day by day: what it bills, owes, collects and pays."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import accumulate
from random import Random

from synchist.demo.books import Paid, Record, Row
from synchist.demo.jobs import Jobs, Outcome
from synchist.demo.names import COMPANIES, EXPIRED, Branch, Party, branches, carriers, customers
from synchist.entities import BILL_PAYMENTS, BILLS, INVOICE_PAYMENTS, INVOICES, Entity
from synchist.filters import start_of
from synchist.statuses import TMS_STATUSES, ConnectionState

DAYS = 425
"""The story begins so many days ago and ends as today begins: one day, one and the same demo."""

BLOCKED = 0.02
"""How many records never become syncable: drafts, on hold, voided."""

HINTS = (
    # So many days ago, for which cause (none: for the customer that is missing most), what.
    (40, "closed_period", "Books close on the fifth working day. Ask Cora before you move a date."),
    (26, "", "Ask Dana in sales which name they are billed under."),
    (
        12,
        "",
        "Ask Dana in sales: they were bought up in spring and are billed under another name now.\n"
        "That customer is in the books. Map it in the TMS, don't create a second one.",
    ),
    (
        9,
        "duplicate",
        "Most of these were entered by hand before month-end. Look for the number in the books:"
        " if it is there, close the record as Already in the accounting system.",
    ),
    (
        4,
        "authorization",
        "Only Nora in the head office can sign in as administrator. Call her before noon.",
    ),
)
"""Of one subject the later words take the place of the earlier ones."""

BATCH = 5_000
"""Records that are made, and written, at once."""

ACCESSORIALS = (
    "Detention",
    "Lumper",
    "Layover",
    "Tarp",
    "Stop-off",
    "Liftgate",
    "Reconsignment",
    "Border crossing",
)
METHODS = {"USD": ("ACH", "Check", "Wire"), "CAD": ("EFT", "Check", "Wire")}


@dataclass
class Batch:
    """Rows to insert by table, and attempts to write by table and round (first, second, …)."""

    rows: defaultdict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    attempts: defaultdict[str, list[list[Row]]] = field(default_factory=lambda: defaultdict(list))
    records: int = 0

    def add(self, entity: str, row: Row, attempts: list[Row]) -> None:
        """Take a record and what the jobs made of it."""
        self.records += 1
        self.rows[entity].append(row)
        rounds = self.attempts[entity]
        for number, attempt in enumerate(attempts):
            if number == len(rounds):
                rounds.append([])
            rounds[number].append(attempt)


@dataclass(frozen=True)
class Document(Paid):
    """An invoice or bill that waits for its payment."""

    id: int
    amount: int
    party: Party
    branch: Branch
    created_at: datetime


@dataclass(frozen=True)
class _Load:
    """One truckload: who ships, who hauls, and what each is charged or paid for it."""

    id: int
    customer: Party
    carrier: Party
    branch: Branch
    created_at: datetime
    pro_number: str
    charges: list[tuple[str, int]]
    costs: list[tuple[str, int]]


@dataclass(frozen=True)
class _Day:
    """One day of the story: its place in it, its date, and the moment at which it begins."""

    number: int
    date: date
    begin: datetime


class _Unpaid:
    """Documents that wait for their payment, oldest first, by party and branch."""

    def __init__(self) -> None:
        self._later: defaultdict[int, list[Document]] = defaultdict(list)
        self._payable: dict[tuple[int, int], list[Document]] = {}

    def add(self, document: Document, day: int) -> None:
        """Take a document that is paid from that day on."""
        self._later[day].append(document)

    def mature(self, day: int) -> None:
        """Make everything payable that was meant for that day or earlier."""
        for earlier in sorted(key for key in self._later if key <= day):
            for document in self._later.pop(earlier):
                key = (document.party.id, document.branch.id)
                self._payable.setdefault(key, []).append(document)

    def take(self, most: int) -> list[Document]:
        """The documents of one payment, none if nothing is payable yet."""
        if not self._payable:
            return []
        key, documents = next(iter(self._payable.items()))
        if len(documents) > most:
            self._payable[key] = documents[most:]
        else:
            del self._payable[key]
        return documents[:most]


class Broker:
    """Makes the records of one broker. Everything follows from the day, the number and the seed."""

    def __init__(self, records: int, seed: int, today: date) -> None:
        # Made-up data needs chance that can be repeated, not secrets.
        self._rng = rng = Random(seed)  # noqa: S311
        self._today = today
        self._ids: defaultdict[str, int] = defaultdict(int)
        self._batch = Batch()
        self._jobs = Jobs(rng, start_of(today))

        receipts, payouts = records * 13 // 100, records * 11 // 100
        bills = records * 34 // 100
        self._counts = {
            INVOICES.key: records - bills - receipts - payouts,
            BILLS.key: bills,
            INVOICE_PAYMENTS.key: receipts,
            BILL_PAYMENTS.key: payouts,
        }
        self._done = dict.fromkeys(self._counts, 0)
        self._unpaid = {INVOICES.key: _Unpaid(), BILLS.key: _Unpaid()}

        self._branches = branches(1)
        self._customers = customers(rng, 101)
        self._carriers = carriers(rng, 301)
        self._weights = list(accumulate(1 / (rank + 6) for rank in range(len(self._customers))))
        for parties in (self._customers, self._carriers):
            self._forget_some(parties)

    def _forget_some(self, parties: Sequence[Party]) -> None:
        """Let the books lose sight of some names: of some for a while, of some until today."""
        now = start_of(self._today)
        for index in range(6, len(parties), 7):
            party, days = parties[index], self._rng.randint(20, 300)
            if index % 2 == 0:
                party.missing_from, party.missing_until = now - timedelta(days=20 + days // 10), now
            else:
                party.missing_from = now - timedelta(days=days)
                party.missing_until = party.missing_from + timedelta(days=15)

    # ------------------------------------------------------------ who

    def organizations(self) -> list[Row]:
        """The rows of every branch, customer and carrier."""
        rows = [_organization(one.id, one.name, billing=True) for one in self._branches]
        rows += [_organization(one.id, one.name, payer=True) for one in self._customers]
        rows += [
            _organization(one.id, one.name, vendor=True, scac=one.scac) for one in self._carriers
        ]
        return rows

    def connections(self) -> list[Row]:
        """The rows of the connections, before anything was synced."""
        closed = self._today.replace(day=1) - timedelta(days=1)
        return [
            {
                "id": company.id,
                "name": company.connection,
                "system": company.system,
                "company": company.name,
                "state": ConnectionState.EXPIRED
                if company is EXPIRED
                else ConnectionState.AUTHORIZED,
                "token_expires_at": self._jobs.expired_at
                if company is EXPIRED
                else start_of(self._today + timedelta(days=30 * company.id)),
                "lock_date": closed,
            }
            for company in COMPANIES
        ]

    def last_successes(self) -> dict[int, datetime]:
        """When each connection last took a record, known once all batches are made."""
        return self._jobs.last_success

    def hints(self) -> list[Row]:
        """What the team has written down about two causes and a customer."""
        last_night = start_of(self._today) - timedelta(minutes=1)
        missing = next(one.name for one in self._customers if one.is_missing(last_night))
        return [
            {
                "cause": cause,
                "named": "" if cause else missing,
                "text": words,
                "at": start_of(self._today - timedelta(days=days)) + timedelta(hours=15),
            }
            for days, cause, words in HINTS
        ]

    # ------------------------------------------------------------ what happens

    def batches(self) -> Iterator[Batch]:
        """All records in the order of their creation, in batches of bounded size."""
        dates = [self._today - timedelta(days=DAYS - number) for number in range(DAYS)]
        for number, (date_, share) in enumerate(zip(dates, _shares(dates), strict=True)):
            for _ in self._happenings(_Day(number, date_, start_of(date_)), share):
                if self._batch.records >= BATCH:
                    yield self._batch
                    self._batch = Batch()
        if self._batch.records:
            yield self._batch

    def _happenings(self, day: _Day, share: float) -> Iterator[None]:
        """What a day brings; yields after each step. `share` of all business is done by its end."""
        due = {key: int(count * share) for key, count in self._counts.items()}
        yield from self._freight(day, due)
        for entity in (INVOICE_PAYMENTS, BILL_PAYMENTS):
            yield from self._payments(entity, day, due[entity.key])
        # A small demo may run out of documents to pay; invoices make up the number.
        while day.number == DAYS - 1 and sum(self._done.values()) < sum(due.values()):
            self._document(INVOICES, self._load(day), day)
            yield

    def _freight(self, day: _Day, due: dict[str, int]) -> Iterator[None]:
        """The day's loads, with their invoices and bills."""
        while missing := [one for one in (INVOICES, BILLS) if self._done[one.key] < due[one.key]]:
            load = self._load(day)
            for entity in missing:
                self._document(entity, load, day)
            yield

    def _payments(self, entity: Entity, day: _Day, due: int) -> Iterator[None]:
        """The day's payments, as far as documents have become payable by then."""
        unpaid = self._unpaid[entity.applications.other_key]
        unpaid.mature(day.number if day.number < DAYS - 1 else 2 * DAYS)
        while self._done[entity.key] < due and (paid := unpaid.take(self._rng.randint(1, 4))):
            self._payment(entity, paid, day)
            yield

    def _load(self, day: _Day) -> _Load:
        rng, number = self._rng, self._next("load")
        customer = rng.choices(self._customers, cum_weights=self._weights)[0]
        nearby = [one for one in self._branches if one.company is customer.company]
        hauling = [one for one in self._carriers if one.company is customer.company]
        miles = rng.randint(70, 2_200)
        haul = rng.randint(25_000, 60_000) + miles * rng.randint(165, 320)
        fuel = miles * rng.randint(35, 62)
        charges = [("Line haul", haul), ("Fuel surcharge", fuel)]
        if rng.random() < 0.1:
            charges.pop()
        for name in rng.sample(ACCESSORIALS, rng.choices((0, 1, 2, 3), (60, 28, 9, 3))[0]):
            charges.append((name, rng.randint(8, 90) * 500))
        margin = rng.uniform(0.78, 0.94)
        return _Load(
            number,
            customer,
            rng.choice(hauling),
            nearby[customer.id % len(nearby)],
            day.begin + timedelta(hours=rng.uniform(6, 19)),
            f"{rng.randint(100_000_000, 999_999_999)}",
            charges,
            [(name, round(amount * margin)) for name, amount in charges],
        )

    def _document(self, entity: Entity, load: _Load, day: _Day) -> None:
        """An invoice or bill of a load, with its charge lines."""
        billed = entity is INVOICES
        party, lines = (load.customer, load.charges) if billed else (load.carrier, load.costs)
        # The carrier's own number comes in later than the invoice goes out.
        created_at = load.created_at + timedelta(
            minutes=0 if billed else self._rng.randint(10, 240)
        )
        number = (
            f"{load.branch.code}-{200_000 + load.id}"
            if billed
            else f"{('', 'INV-', party.scac)[party.id % 3]}{10_000 + load.id * 3 + party.id % 3}"
        )
        row = self._row(entity, party, load.branch, created_at, day, number)
        row |= {
            "amount": sum(amount for _, amount in lines),
            "shipment_id": f"SHP{1_040_000 + load.id}",
            "pro_number": load.pro_number,
            "due_date": day.date + timedelta(days=(30, 30, 45, 15)[party.id % 4]),
        }
        outcome = self._sync(
            entity, Record(entity.key, row, party, load.branch.company, lines=lines)
        )
        self._charge_lines(entity, row, lines, outcome)
        if row["tms_status"] in entity.syncable:
            document = Document(
                number, outcome.booked_at, row["id"], row["amount"], party, load.branch, created_at
            )
            self._unpaid[entity.key].add(document, day.number + self._rng.randint(16, 46))

    def _payment(self, entity: Entity, documents: list[Document], day: _Day) -> None:
        """The payment of some documents of one party, with what goes to each of them."""
        rng, first = self._rng, documents[0]
        method = rng.choice(METHODS[first.party.currency])
        moment = day.begin + timedelta(hours=rng.uniform(9, 18))
        newest = max(document.created_at for document in documents)
        number = (
            f"{'RCT' if entity is INVOICE_PAYMENTS else 'PMT'}-{self._next('payment') + 70_000}"
        )
        row = self._row(
            entity,
            first.party,
            first.branch,
            max(moment, newest + timedelta(minutes=20)),
            day,
            number,
        )
        # Now and then a party pays short, as for a claim or a disputed charge.
        paid = [
            document.amount - (rng.randint(1, 20) * 500 if rng.random() < 0.04 else 0)
            for document in documents
        ]
        row |= {
            "amount": sum(paid),
            "method": method,
            "check_number": f"{rng.randint(10_000, 99_999)}" if method == "Check" else None,
            "memo": _memo(rng, documents),
        }
        paid_for = entity.applications.other_key
        self._batch.rows[f"{entity.key}_application"] += [
            {
                "id": self._next(f"{entity.key}_application"),
                f"{entity.key}_id": row["id"],
                f"{paid_for}_id": document.id,
                "amount": amount,
            }
            for document, amount in zip(documents, paid, strict=True)
        ]
        company = first.branch.company
        self._sync(entity, Record(entity.key, row, first.party, company, documents=documents))

    def _row(
        self,
        entity: Entity,
        party: Party,
        branch: Branch,
        created_at: datetime,
        day: _Day,
        number: str,
    ) -> Row:
        """What all four kinds have in common."""
        identity = self._next(entity.key)
        self._done[entity.key] += 1
        return {
            "id": identity,
            "tms_id": f"{entity.key}-{900_000 + identity}",
            "number": number,
            "party_id": party.id,
            "billing_organization_id": branch.id,
            "connection_id": branch.company.id,
            "currency": party.currency,
            "accounting_date": day.date,
            "created_at": created_at,
        }

    def _sync(self, entity: Entity, record: Record) -> Outcome:
        """Let the jobs try a record, unless its TMS status keeps them from it."""
        blocked = self._rng.random() < BLOCKED
        statuses = _blocking(entity) if blocked else entity.syncable
        record.row["tms_status"] = self._rng.choice(statuses)
        outcome = Outcome([]) if blocked else self._jobs.sync(record)
        self._batch.add(entity.key, record.row, outcome.attempts)
        return outcome

    def _charge_lines(
        self, entity: Entity, row: Row, lines: list[tuple[str, int]], outcome: Outcome
    ) -> None:
        """The charge lines of a document, and what the books hold of each where that differs."""
        for position, (description, amount) in enumerate(lines):
            line_id = self._next("charge_line")
            self._batch.rows["charge_line"].append(
                {
                    "id": line_id,
                    "invoice_id": row["id"] if entity is INVOICES else None,
                    "bill_id": row["id"] if entity is BILLS else None,
                    "position": position + 1,
                    "description": description,
                    "amount": amount,
                }
            )
            if outcome.held:
                self._batch.rows["attempt_line"].append(
                    {
                        "charge_line_id": line_id,
                        "sync_at": outcome.booked_at,
                        "amount": outcome.held[position],
                    }
                )

    def _next(self, name: str) -> int:
        """The next number of a series; ids begin at 1."""
        self._ids[name] += 1
        return self._ids[name]


def _organization(
    identity: int,
    name: str,
    *,
    payer: bool = False,
    vendor: bool = False,
    billing: bool = False,
    scac: str | None = None,
) -> Row:
    return {
        "id": identity,
        "tms_id": f"organization-{1_000 + identity}",
        "name": name,
        "scac": scac,
        "is_payer": payer,
        "is_vendor": vendor,
        "is_billing": billing,
    }


def _shares(days: Sequence[date]) -> list[float]:
    """Which part of all business is done by the end of each day: it grows, and rests on Sundays."""
    weights = [
        (0.4 + 1.6 * number / len(days)) * (1, 1, 1, 1, 1, 0.35, 0.1)[day.weekday()]
        for number, day in enumerate(days)
    ]
    # Not sum(): it may round differently, and the last share must be 1.
    running = list(accumulate(weights))
    return [so_far / running[-1] for so_far in running]


def _blocking(entity: Entity) -> list[str]:
    """The TMS statuses that keep a record from being synced."""
    return [status for status in TMS_STATUSES if status not in entity.syncable]


def _memo(rng: Random, documents: Sequence[Document]) -> str | None:
    """What a payment says of itself, if anything."""
    numbers = ", ".join(document.number for document in documents)
    return rng.choice((None, f"Payment for {numbers}", f"Remittance {numbers}"))

"""One reconciliation: what agrees and what does not, a grid for each, and what can be done."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pandas as pd
import streamlit as st
from sqlalchemy import Connection

from synchist.accounts import Actor
from synchist.currencies import sums
from synchist.filters import readable
from synchist.queries import Ticked, amounts
from synchist.reconciliation import decisions, saved
from synchist.reconciliation.decisions import Acceptance
from synchist.reconciliation.matching import Bucket
from synchist.reconciliation.saved import Counted, NoSuchReconciliation, Reconciliation
from synchist.risks import Risk
from synchist.roles import Role
from synchist.settings import settings
from synchist.status_changes import LONGEST_NOTE, risks_of
from synchist.statuses import SyncStatus
from synchist.ui import actions, faults, places, receipt_view, record_view, risk_grid, viewer
from synchist.ui.actions import APPLIED
from synchist.ui.wording import figure, moment, plain

ROWS = 1_000
"""Lines a page."""
ROW_HEIGHT = 34
IN_VIEW = 12
TICK = "Select"
DAY = "D MMM YYYY"

TITLES: Mapping[Bucket, str] = {
    Bucket.STATUS: "Status differs",
    Bucket.AMOUNT: "Amount differs",
    Bucket.NOT_IN_BOOKS: "Not in the books",
    Bucket.NOT_IN_REPORT: "Not in this report",
    Bucket.UNCERTAIN: "Not certain",
    Bucket.DUPLICATE: "Duplicate",
    Bucket.ONLY_IN_BOOKS: "Only in the books",
    Bucket.AGREES: "Agrees",
}
"""The buckets in the order in which one works through them."""

MEANS: Mapping[Bucket, str] = {
    Bucket.STATUS: "In the books with the same amount, and not Complete here. **Accept** makes them"
    " Complete, with number, date and amount of the file as evidence.",
    Bucket.AMOUNT: "In both, with another amount. Click a number to see the record and its charges;"
    " correct whichever side is wrong.",
    Bucket.NOT_IN_BOOKS: "Not in the report, which holds all of this period. What is Complete here"
    " and not in the books can be sent back to Pending.",
    Bucket.NOT_IN_REPORT: "Not in the report, which does not hold everything: that proves nothing.",
    Bucket.UNCERTAIN: "They may belong together, but no number says so. Confirm a line with both"
    " sides; of several candidates tick one line of the file and one record.",
    Bucket.DUPLICATE: "The same document stands there more than once. Look it up in the books and"
    " in the TMS.",
    Bucket.ONLY_IN_BOOKS: "In the report, and no record of this connection fits.",
    Bucket.AGREES: "In the books with the same amount, and Complete here. Nothing to do.",
}


@dataclass(frozen=True)
class Mark:
    """A ticked line: the record in it (None: it has none) as it stood when it was compared, and
    whether it has a document of the file."""

    record_id: int | None
    ticked: Ticked | None
    has_document: bool
    case: int


Marks = dict[int, Mark]
"""Ticked lines by position."""


def show(identity: str, actor: Actor) -> None:
    """Draw one reconciliation."""
    try:
        with viewer.reading("open a reconciliation") as (connection, _):
            of = saved.opened(connection, identity)
            found = saved.summary(connection, identity)
    except NoSuchReconciliation as error:
        faults.show(error)
        st.page_link(places.reconcile(), label="All reconciliations", icon=":material/arrow_back:")
        return
    _header(of, actor, found)
    receipt_view.show_latest(actor, of.entity)
    _lines(of, found)


def period(of: Reconciliation) -> str:
    """The days that were compared, and what the report holds of them."""
    start, end = (readable(day) if day else "" for day in (of.starts_on, of.ends_on))
    if start and end:
        return f"{start} – {end}"
    return f"up to {end}" if end else f"from {start}" if start else "no period"


# ---------------------------------------------------------------- what was compared


def _header(of: Reconciliation, actor: Actor, found: Mapping[Bucket, Counted]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.page_link(places.reconcile(), label="All", icon=":material/arrow_back:")
        st.subheader(f"{plain(of.file_name)} · {of.entity.title}", anchor=False, width="content")
        st.space("stretch")
        with st.popover("Statement", icon=":material/balance:"):
            _statement(of, found)
        with st.popover("About the file", icon=":material/description:"):
            _about(of)
        if Role.HIDE_EXPORT not in actor.roles:
            st.link_button(
                "Export to Excel",
                f"/export/reconciliation/{of.id}.xlsx",
                icon=":material/download:",
                help="Every line with both sides, a sheet for each of the lists below",
            )
        viewer.account_menu(actor)
    st.caption(
        f"{plain(of.connection)} · {period(of)} · {of.coverage.value} · compared {moment(of.at)} by"
        f" {plain(of.actor)} · {of.rows_read:,} rows read, {of.used:,} used"
    )


def _about(of: Reconciliation) -> None:
    """What was read of the file, as it was said when it was uploaded."""
    skipped = ", ".join(f"{number:,} {reason}" for reason, number in of.skipped.items())
    left = of.rows_read - of.used
    facts = {
        "Report": " · ".join(one for one in (of.report, of.system, of.basis) if one) or "A list",
        "Period in the file": of.period or "not told",
        "Rows": f"{of.rows_read:,} read = {of.used:,} used + {left:,} left out",
        "Left out": skipped or "nothing",
        "Sum of what was read": figure(of.control_total) or "not known",
        "The report's own total": figure(of.file_total) or "not told",
        "Sum of the documents": figure(of.documents_total),
        "SHA-256": of.sha256,
    }
    st.table(
        {name: plain(value) for name, value in facts.items()},
        hide_header=True,
        border="horizontal",
        alt="About the file",
    )
    for warning in of.warnings:
        st.caption(f":orange[:material/warning:] {plain(warning)}")


def _statement(of: Reconciliation, found: Mapping[Bucket, Counted]) -> None:
    """All buckets with their counts and sums: those of the file add up to the file."""
    rows = [(TITLES[bucket], found[bucket]) for bucket in TITLES if found[bucket].rows]
    documents = sum(one.documents for _, one in rows)
    st.table(
        pd.DataFrame(
            {
                "": [title for title, _ in rows] + ["**Together**"],
                "In the file": [f"{one.documents:,}" for _, one in rows] + [f"**{documents:,}**"],
                "Sum in the file": [_books(one.books) for _, one in rows]
                + [f"**{_books(_all(one.books for _, one in rows))}**"],
                "Records": [f"{one.records:,}" for _, one in rows]
                + [f"**{sum(one.records for _, one in rows):,}**"],
                "Sum in the TMS": [sums(one.tms) for _, one in rows]
                + [f"**{sums(_all(one.tms for _, one in rows))}**"],
            }
        ),
        hide_index=True,
        border="horizontal",
        alt="Counts and sums of all lists",
    )
    st.caption(
        f"The file holds {of.entity.count(documents)} for {figure(of.documents_total)}; each stands"
        " in one of these lists."
    )


def _all(sides: Any) -> dict[str, int]:
    together: dict[str, int] = {}
    for side in sides:
        for currency, amount in side.items():
            together[currency] = together.get(currency, 0) + amount
    return together


def _books(by_currency: Mapping[str, int]) -> str:
    """Sums of the file per currency, largest first."""
    ordered = sorted(by_currency.items(), key=lambda pair: (-abs(pair[1]), pair[0]))
    return " + ".join(f"{figure(amount)} {currency}".strip() for currency, amount in ordered)


# ---------------------------------------------------------------- a bucket


def _lines(of: Reconciliation, found: Mapping[Bucket, Counted]) -> None:
    there = [bucket for bucket in TITLES if found[bucket].rows]
    if not there:
        st.info("Neither the file nor the TMS holds anything of this period.")
        return
    key = f"bucket_{of.id}"
    if st.session_state.get(key) not in there:
        st.session_state[key] = there[0]  # the last line of a bucket has gone elsewhere
    with st.container(horizontal=True, vertical_alignment="center"):
        bucket = st.segmented_control(
            "Lists",
            there,
            required=True,
            format_func=lambda one: f"{TITLES[one]} **{found[one].rows:,}**",
            key=key,
            label_visibility="collapsed",
        )
        search = st.text_input(
            "Find",
            placeholder="Number, name or amount",
            icon=":material/search:",
            key=f"search_{of.id}",
            label_visibility="collapsed",
            width=240,
        )
    if bucket is None:
        return
    one = found[bucket]
    done = _done(of, bucket) if bucket in ACTIONS else ""
    st.markdown(f"{_sentence(bucket, one)}{done}  \n:small[:gray[{MEANS[bucket]}]]")
    _page(of, bucket, search, one.rows)


def _sentence(bucket: Bucket, one: Counted) -> str:
    """Counts and sums of both sides."""
    parts = []
    if one.documents:
        parts.append(f"**{one.documents:,}** in the file, {_books(one.books)}")
    if one.records:
        parts.append(f"**{one.records:,}** here, {sums(one.tms)}")
    if bucket is Bucket.NOT_IN_BOOKS:
        parts.append(f"**{one.complete:,}** of them Complete")
    if bucket is Bucket.AMOUNT and one.difference:
        parts.append(f"books minus TMS **{_books(one.difference)}**")
    return " · ".join(parts)


def _done(of: Reconciliation, bucket: Bucket) -> str:
    """How many of the records have changed since: the work that is done, mostly."""
    with viewer.reading("count what has changed since") as (connection, _):
        changed = saved.changed(connection, of, bucket)
    return f" · :green[{changed:,} changed since]" if changed else ""


def _page(of: Reconciliation, bucket: Bucket, search: str, rows: int) -> None:
    """A page of lines, with its actions above and its pages below."""
    place = f"page_{of.id}_{bucket.name}"
    with viewer.reading("list the lines of a reconciliation") as (connection, _):
        number = saved.how_many(connection, of, bucket, search) if search.strip() else rows
        pages = max(-(-number // ROWS), 1)
        at = min(st.session_state.get(place, 1), pages)
        frame = saved.lines(
            connection, of, bucket, search=search, limit=ROWS, offset=(at - 1) * ROWS
        )
        charges = saved.on_charges(connection, of, frame) if bucket is Bucket.AMOUNT else {}
        _keep_valid(connection, of, bucket)
    if search.strip():
        st.caption(f"{number:,} of {rows:,} match “{plain(search)}”.")
    if frame.empty:
        st.info("Nothing matches here. Look into the other lists.", icon=":material/search_off:")
        return
    _selectable(of, bucket, search, frame, charges)
    if pages > 1:
        st.pagination(pages, key=place)


@st.fragment
def _selectable(
    of: Reconciliation,
    bucket: Bucket,
    search: str,
    frame: pd.DataFrame,
    charges: Mapping[int, str],
) -> None:
    """Ticks, actions and grid. A fragment: a tick answers without loading anything."""
    with viewer.reading("select lines of a reconciliation"):
        pass
    faults.show_kept()
    if bucket in ACTIONS:
        _toolbar(of, bucket, search)
    _grid(of, bucket, frame, charges)
    opened = f"open_{of.id}"
    if opened in st.session_state:
        record_view.open_drawer(of.entity, st.session_state.pop(opened))
    record_view.carry_on()


# ---------------------------------------------------------------- the grid


def _label(status: Any) -> str:
    return "" if pd.isna(status) else SyncStatus(int(status)).label


def _shown(bucket: Bucket, frame: pd.DataFrame, charges: Mapping[int, str]) -> pd.DataFrame:
    """What people see of the lines: both sides, as far as the list is about both."""
    currency = frame["record_currency"].fillna("")
    columns: dict[str, Any] = {
        "number": frame["number"],
        "case": frame["case"] + 1,
        "sheet_row": frame["sheet_row"],
        "reference": frame["reference"],
        "party": frame["party"],
        "booked_on": frame["booked_on"],
        "amount": frame["amount"].astype("Float64") / 10_000,
        "difference": frame["difference"].astype("Float64") / 10_000,
        "record_amount": amounts(frame["record_amount"], currency),
        "currency": frame["currency"].where(frame["currency"] != "", currency),
        "charges": pd.Series(frame["record_id"].map(charges), dtype=object),
        "type": frame["type"],
        "record_party": frame["record_party"],
        "record_date": frame["record_date"],
        "sync_reference": frame["sync_reference"],
        "sync_status": frame["sync_status"].map(_label),
        "now_status": frame["now_status"].map(_label),
        "why": _why(frame),
        "also": frame["also"],
    }
    return pd.DataFrame({name: columns[name] for name in _COLUMNS[bucket]}, index=frame.index)


def _why(frame: pd.DataFrame) -> "pd.Series[Any]":
    """By what the sides were brought together, and what else is to be said."""
    confirmed = frame["confirmed_by"].map(lambda who: f"confirmed by {who}", na_action="ignore")
    parts = pd.DataFrame({"how": frame["how"], "reason": frame["reason"], "who": confirmed})
    return parts.apply(
        lambda row: " · ".join(one for one in row if isinstance(one, str) and one), axis=1
    )


_BOTH = (
    *("number", "sheet_row", "reference", "party", "booked_on", "amount", "record_amount"),
    *("currency", "record_date", "sync_status", "now_status", "why"),
)
_OURS = (
    *("number", "record_party", "record_date", "record_amount", "currency"),
    *("sync_status", "now_status", "sync_reference"),
)
_CASES = (
    *("number", "case", "sheet_row", "reference", "party", "booked_on", "amount"),
    *("record_amount", "record_date", "record_party", "now_status", "why"),
)
_COLUMNS: Mapping[Bucket, tuple[str, ...]] = {
    Bucket.AGREES: _BOTH,
    Bucket.STATUS: _BOTH,
    Bucket.AMOUNT: (
        *("number", "sheet_row", "reference", "party", "amount", "record_amount", "difference"),
        *("currency", "charges", "now_status", "why", "booked_on", "record_date"),
    ),
    Bucket.NOT_IN_BOOKS: _OURS,
    Bucket.NOT_IN_REPORT: _OURS,
    Bucket.ONLY_IN_BOOKS: (
        *("sheet_row", "type", "reference", "party", "booked_on", "amount", "currency", "also"),
        "why",
    ),
    Bucket.UNCERTAIN: _CASES,
    Bucket.DUPLICATE: _CASES,
}


def _config(of: Reconciliation, decimals: str) -> dict[str, Any]:
    text, day = st.column_config.TextColumn, st.column_config.DateColumn
    number = st.column_config.NumberColumn
    return {
        "case": number("Case", width=50, help="Lines of one case may belong together"),
        "sheet_row": number("Row", width=50, help="Where it stands in the file"),
        "type": text("Type", width=100),
        "reference": text("Books number", width=110, help="The number in the file"),
        "party": text("Books name", width=140, help="The customer or vendor in the file"),
        "booked_on": day("Books date", format=DAY, width=90, help="The date in the file"),
        "amount": number("Books amount", format=decimals, width=100, help="The amount in the file"),
        "record_amount": number("TMS amount", format=decimals, width=95),
        "difference": number(
            "Difference", format=decimals, width=90, help="Books minus TMS: what to look for"
        ),
        "currency": text("Currency", width=65),
        "charges": text(
            "On which charges",
            width=250,
            help="Where a job has told what the books hold of each charge: books minus TMS",
        ),
        "record_party": text(of.entity.party_label, width=140),
        "record_date": day("TMS date", format=DAY, width=90),
        "sync_reference": text("Reference", width=105, help="What the books had called it"),
        "sync_status": text("Status then", width=85, help="When it was compared"),
        "now_status": text("Status now", width=85),
        "why": text("Why", width=300),
        "also": text("Memo and other numbers", width=220),
    }


def _grid(
    of: Reconciliation, bucket: Bucket, frame: pd.DataFrame, charges: Mapping[int, str]
) -> None:
    shown = _shown(bucket, frame, charges)
    ticks = _marks(of, bucket)
    if bucket in ACTIONS:
        shown.insert(0, TICK, [position in ticks for position in frame.index])
    # The key names the very rows, so that an edit can never meet others than it was made on.
    rows = hash((tuple(frame.index), tuple(frame["now_version"].fillna(0))))
    editor = f"lines_{of.id}_{bucket.name}_{_generation(of, bucket)}_{rows}"
    figures = pd.concat([frame["amount"], frame["difference"]]).dropna()
    exact = bool((figures % 100 != 0).any())
    opened = f"opened_{of.id}"
    st.data_editor(
        shown,
        key=editor,
        on_change=_fold if bucket in ACTIONS else None,
        args=(of, bucket, editor, frame),
        # One by one: where all is disabled, buttons are as well.
        disabled=list(shown.columns.drop(TICK, errors="ignore")),
        hide_index=True,
        placeholder="",
        row_height=ROW_HEIGHT,
        height=ROW_HEIGHT * (min(len(frame), IN_VIEW) + 1) + 4,
        column_config={
            TICK: st.column_config.CheckboxColumn(TICK, pinned=True, width=60),
            **_config(of, "%.4f" if exact else "accounting"),
            "number": st.column_config.ButtonColumn(
                "Record",
                help="The number in the TMS. A click opens the record",
                pinned=True,
                alignment="left",
                type="tertiary",
                width=105,
                key=opened,
                on_click=_open,
                args=(of, frame, opened),
            ),
        },
        alt=f"{TITLES[bucket]}: lines of the reconciliation",
    )


def _open(of: Reconciliation, frame: pd.DataFrame, opened: str) -> None:
    click = st.session_state[opened]
    if click and 0 <= click.row < len(frame):
        record = frame["record_id"].iloc[click.row]
        if pd.notna(record):
            st.session_state[f"open_{of.id}"] = int(record)


# ---------------------------------------------------------------- what is ticked


def _marks(of: Reconciliation, bucket: Bucket) -> Marks:
    found: Marks = st.session_state.setdefault(f"marks_{of.id}_{bucket.name}", {})
    return found


def _generation(of: Reconciliation, bucket: Bucket) -> int:
    number: int = st.session_state.get(f"generation_{of.id}_{bucket.name}", 0)
    return number


def _mark(of: Reconciliation, bucket: Bucket, marks: Marks) -> None:
    """Set all ticks, and make the grid draw them anew."""
    st.session_state[f"marks_{of.id}_{bucket.name}"] = marks
    st.session_state[f"generation_{of.id}_{bucket.name}"] = _generation(of, bucket) + 1


def _keep_valid(connection: Connection, of: Reconciliation, bucket: Bucket) -> None:
    """Take away the ticks of lines whose action is done, or whose record has changed meanwhile."""
    marks = _marks(of, bucket)
    if not marks:
        return
    frame = saved.lines(connection, of, bucket, positions=list(marks))
    still = set(frame.index[_can(bucket, frame)])
    if marks.keys() - still:
        _mark(of, bucket, {at: mark for at, mark in marks.items() if at in still})


def _can(bucket: Bucket, frame: pd.DataFrame) -> "pd.Series[bool]":
    """Which lines an action is for: the others lose their tick again."""
    unchanged = frame["now_version"].eq(frame["version"]).fillna(False)
    if bucket is Bucket.STATUS:
        return decisions.acceptable(frame) & unchanged
    if bucket is Bucket.NOT_IN_BOOKS:
        return unchanged & frame["sync_status"].eq(int(SyncStatus.COMPLETE)).fillna(False)
    return pd.Series(True, index=frame.index)


def _of_rows(frame: pd.DataFrame) -> Marks:
    return {
        row["position"]: Mark(
            None if pd.isna(row["record_id"]) else row["record_id"],
            None
            if pd.isna(row["record_id"])
            else Ticked(row["version"], row["record_currency"], row["record_amount"]),
            pd.notna(row["sheet_row"]),
            row["case"],
        )
        for row in frame.reset_index().to_dict("records")
    }


def _fold(of: Reconciliation, bucket: Bucket, editor: str, frame: pd.DataFrame) -> None:
    """Take over the ticks of a grid by the positions that this very grid was given. Whatever else
    is claimed is ignored."""
    marks = dict(_marks(of, bucket))
    can, refused = _can(bucket, frame), False
    for place, edit in st.session_state[editor].get("edited_rows", {}).items():
        ticked = edit.get(TICK) if isinstance(edit, Mapping) else None
        if not 0 <= int(place) < len(frame) or not isinstance(ticked, bool):
            continue
        if not ticked:
            marks.pop(int(frame.index[int(place)]), None)
        elif can.iloc[int(place)]:
            marks |= _of_rows(frame.iloc[[int(place)]])
        else:
            refused = True
    st.session_state[f"marks_{of.id}_{bucket.name}"] = marks
    if refused:
        st.session_state[f"refused_{of.id}"] = True
        _mark(of, bucket, marks)


# ---------------------------------------------------------------- actions

ACTIONS: Mapping[Bucket, str] = {
    Bucket.STATUS: "Accept",
    Bucket.NOT_IN_BOOKS: actions.RETRY,
    Bucket.UNCERTAIN: "Confirm",
}
ICONS = {
    Bucket.STATUS: ":material/done_all:",
    Bucket.NOT_IN_BOOKS: ":material/replay:",
    Bucket.UNCERTAIN: ":material/link:",
}
REFUSED = {
    Bucket.STATUS: "That line can't be accepted: the amounts are not the same, the record is voided"
    " in the TMS, or it has changed since. Click its number to see what happened.",
    Bucket.NOT_IN_BOOKS: "Only what was Complete here and has not changed since can be sent back.",
}


def _toolbar(of: Reconciliation, bucket: Bucket, search: str) -> None:
    marks = _marks(of, bucket)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            "Select all",
            icon=":material/select_all:",
            on_click=_select_all,
            args=(of, bucket, search),
        )
        st.button(
            "Clear",
            icon=":material/deselect:",
            disabled=not marks,
            on_click=_mark,
            args=(of, bucket, {}),
        )
        label = ACTIONS[bucket]
        if bucket is Bucket.UNCERTAIN:
            st.button(
                label,
                icon=ICONS[bucket],
                type="primary",
                disabled=not marks,
                on_click=_confirm,
                args=(of, marks),
            )
        elif st.button(label, icon=ICONS[bucket], type="primary", disabled=not marks):
            _open_action(of, bucket, marks)
        _selected(marks)
    if st.session_state.pop(f"refused_{of.id}", False):
        st.caption(f":orange[:material/info:] {REFUSED[bucket]}")


def _selected(marks: Marks) -> None:
    if not marks:
        st.caption("Nothing selected", width="content")
        return
    st.markdown(f"**{len(marks):,} selected** · {_sum(marks)}", width="content")


def _sum(marks: Marks) -> str:
    by_currency: dict[str, int] = {}
    for mark in marks.values():
        if mark.ticked:
            before = by_currency.get(mark.ticked.currency, 0)
            by_currency[mark.ticked.currency] = before + mark.ticked.amount
    return sums(by_currency)


def _select_all(of: Reconciliation, bucket: Bucket, search: str) -> None:
    """Tick every line that matches and that the action is for; of what is not certain those with
    both sides."""
    with faults.kept(), viewer.reading("select lines of a reconciliation") as (connection, _):
        frame = saved.lines(connection, of, bucket, search=search)
        can = _can(bucket, frame)
        if bucket is Bucket.UNCERTAIN:
            can &= frame["sheet_row"].notna() & frame["record_id"].notna()
        _mark(of, bucket, {**_marks(of, bucket), **_of_rows(frame[can])})


def _confirm(of: Reconciliation, marks: Marks) -> None:
    with faults.kept():
        decisions.confirm(viewer.principal(), of.id, _pairs(marks))
        _mark(of, Bucket.UNCERTAIN, {})


def _pairs(marks: Marks) -> dict[int, int]:
    """Ticked lines with both sides, and of each case one document with one record."""
    pairs = {at: at for at, mark in marks.items() if mark.has_document and mark.record_id}
    alone = {at: mark for at, mark in marks.items() if at not in pairs}
    for case in {mark.case for mark in alone.values()}:
        documents = [at for at, one in alone.items() if one.case == case and one.has_document]
        records = [at for at, one in alone.items() if one.case == case and one.record_id]
        if len(documents) != 1 or len(records) != 1:
            raise decisions.NotConfirmable(
                f"Of case {case + 1} tick one line of the file and one record."
            )
        pairs[documents[0]] = records[0]
    return pairs


def _open_action(of: Reconciliation, bucket: Bucket, marks: Marks) -> None:
    if bucket is Bucket.STATUS:
        # The id is made here and not at Accept: it makes a second click, or a retry, harmless.
        st.dialog("Accept what the books hold", width="large")(_accepting)(
            of, sorted(marks), str(uuid4())
        )
        return
    chosen = {mark.record_id: mark.ticked for mark in marks.values()}
    actions.open_dialog(
        {of.entity.key: {one: it for one, it in chosen.items() if one and it}},
        f"Not in the books: {decisions.words(of)}",
        to=SyncStatus.PENDING,
    )


def _accepting(of: Reconciliation, positions: list[int], operation_id: str) -> None:
    """The dialog of Accept."""
    if st.session_state.get(APPLIED) == operation_id:
        st.rerun()
    faults.show_kept()
    with viewer.reading("accept what the books hold") as (connection, _):
        found = decisions.acceptance(connection, of.id, positions)
        at_risk = risks_of(connection, {of.entity.key: found.records}, found.change())
    number = len(found.records)
    by_currency: dict[str, int] = {}
    for one in found.records.values():
        by_currency[one.currency] = by_currency.get(one.currency, 0) + one.amount
    st.markdown(f"**{of.entity.count(number)}** · {sums(by_currency)}")
    st.caption(
        "They become Complete, “Already in the accounting system”, each with the number, the date"
        " and the amount that the file has. Nothing is sent to the accounting system, and it can be"
        " taken back under Operations. What has changed since the comparison is left alone."
    )
    if number > settings().max_records_per_operation:
        st.warning(
            f"At most {settings().max_records_per_operation:,} records can be changed at a time."
            " Close this and select fewer."
        )
        return
    risk_grid.show(operation_id, at_risk, SyncStatus.COMPLETE)
    will = number - risk_grid.left_out(operation_id, at_risk)
    st.text_input(
        "Note",
        max_chars=LONGEST_NOTE,
        placeholder="Optional; it stays in the history",
        key=f"note_{operation_id}",
    )
    confirmed = actions.confirmed(operation_id, will)
    st.button(
        f"Accept {of.entity.count(will)}",
        type="primary",
        key=f"accept_{operation_id}",
        disabled=not will or not confirmed,
        on_click=_accept,
        args=(found, operation_id, tuple(at_risk.values())),
    )


def _accept(found: Acceptance, operation_id: str, at_risk: Collection[Risk]) -> None:
    of = found.of
    with faults.kept():
        accepted, left = risk_grid.decided(operation_id, at_risk)
        untouched = left.get(of.entity.key, set())
        chosen = [at for record, at in found.positions.items() if record not in untouched]
        decisions.accept(
            viewer.principal(),
            operation_id,
            of.id,
            chosen,
            st.session_state.get(f"note_{operation_id}") or "",
            accepted,
        )
        st.session_state[APPLIED] = operation_id
        left_over = {at: it for at, it in _marks(of, Bucket.STATUS).items() if at not in chosen}
        _mark(of, Bucket.STATUS, left_over)

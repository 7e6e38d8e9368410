"""A report of the accounting system: uploaded, read, compared; and those compared before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from synchist import connections
from synchist.child import UnreadableFile
from synchist.entities import ENTITIES, Entity
from synchist.reconciliation import mappings, saved
from synchist.reconciliation.mappings import Remembered
from synchist.reconciliation.matching import Bucket, Scope
from synchist.reconciliation.reading import read
from synchist.reconciliation.report import Coverage, Reading, Report, Unmapped, WrongReport
from synchist.ui import faults, mapping_form, places, reconciliation_view, viewer
from synchist.ui.reconciliation_view import period
from synchist.ui.wording import counted, figure, moment, plain

PAGE = 15
ROW_HEIGHT = 34
FILES = ["csv", "txt", "tsv", "xlsx", "xls", "xml"]
SHOWN = "reconciliation_shown"
"""Session key: the reconciliation that the page shows."""
OPENED = "reconciliation_opened"
"""Session key: the click that opens one of the list."""
CHOSEN = "reconciliation_chosen"
"""Session key: the same by keyboard."""
READ = "reconcile_read"
"""Session key: the file that was read last, and what came of it."""

COVERS = {
    Coverage.ALL: "All of a period",
    Coverage.OPEN: "Open items only",
    Coverage.UNKNOWN: "Not sure",
}
MEANS = {
    Coverage.ALL: "What the TMS has of this period and the report has not is “not in the books”.",
    Coverage.OPEN: "What is paid or cleared in the books is not in such a report: what it lacks"
    " proves nothing.",
    Coverage.UNKNOWN: "What the report lacks proves nothing then.",
}


def show() -> None:
    """Draw the page: one reconciliation where the address names it, else a new one and the list."""
    faults.show_kept()
    identity = st.query_params.get("id", "")
    _keep_address(identity)
    with viewer.reading("open Reconcile") as (connection, actor):
        links = connections.names(connection)
    if identity:
        reconciliation_view.show(identity, actor)
        return
    viewer.title_bar(actor, "Reconcile", "What the books really hold, line by line")
    entity = _entity()
    report = _uploaded(entity)
    if report is not None:
        _compare(entity, report, links)
    _latest()


def _keep_address(identity: str) -> None:
    """Put what is shown into the browser's address: a link to the page that is open already does
    not do that."""
    if st.session_state.get(SHOWN, "") == identity:
        return
    st.session_state[SHOWN] = st.query_params["id"] = identity
    if not identity:
        del st.query_params["id"]


def _entity() -> Entity:
    titles = {one.title: one for one in ENTITIES}
    title = st.segmented_control(
        "Records",
        list(titles),
        default=ENTITIES[0].title,
        required=True,
        key="reconcile_entity",
        label_visibility="collapsed",
        bind="query-params",
    )
    return titles[title]


# ---------------------------------------------------------------- reading

_BEST = {
    "invoice": "Invoice List",
    "invoice_payment": "Transaction List by Date, of payments",
    "bill": "Transaction List by Date, of bills",
    "bill_payment": "Bill Payment List",
}
"""The report of QuickBooks Online that says most of each entity."""


@dataclass(frozen=True)
class Read:
    """What came of reading a file: a report, or why there is none. `remembered` is whose word it
    was read by."""

    key: tuple[Any, ...]
    report: Report | None
    error: Exception | None
    remembered: Remembered | None = None


def _uploaded(entity: Entity) -> Report | None:
    """The report in the file that is uploaded, once it can be read; what was read of it."""
    file: UploadedFile | None = st.file_uploader(
        f"A report of {entity.plural}, exported from QuickBooks (best: {_BEST[entity.key]}), Xero,"
        " NetSuite or Sage",
        type=FILES,
        key=f"reconcile_file_{entity.key}",
        help="A list by date with number, name and amount says most. A report of open items only"
        " can be compared too, but can’t show what is missing. Nothing of it is changed, and the"
        " file itself is not kept.",
    )
    if file is None:
        return None
    form = f"mapping_{file.file_id}_{entity.key}"
    found = _read(file, entity, st.session_state.get(form))
    if isinstance(found.error, UnreadableFile | WrongReport):
        st.error(plain(str(found.error)), icon=":material/error:")
        return None
    if isinstance(found.error, Unmapped):
        st.warning(f"{plain(str(found.error))} Say which below.", icon=":material/help:")
        _ask(form, entity, found.error.preview, found.error.guess)
        return None
    report = found.report
    if report is None:
        return None
    _summary(entity, report)
    if found.remembered:
        who, at = plain(found.remembered.actor), moment(found.remembered.at)
        st.caption(f":material/history: Read as {who} said on {at} of files with these headings.")
    if report.unsure and found.remembered is None and form not in st.session_state:
        # A day and a month that are mixed up would be kept as evidence: not for us to guess.
        st.warning("Say how the file is meant, then compare.", icon=":material/help:")
        _ask(form, entity, report.preview, report.reading)
        return None
    with st.expander("Read it in another way"):
        _ask(form, entity, report.preview, report.reading)
    return report


def _ask(form: str, entity: Entity, preview: Sequence[Sequence[str]], guess: Reading) -> None:
    """The mapping form; its answer counts for this file, and for the next one like it."""
    reading = mapping_form.show(form, preview, guess)
    if reading is None:
        return
    st.session_state[form] = reading
    if 0 < reading.header <= len(preview):
        mappings.remember(viewer.principal(), entity.key, preview[reading.header - 1], reading)
    st.rerun()


def _read(file: UploadedFile, entity: Entity, told: Reading | None) -> Read:
    """Read a file once for each way to read it, not at every click into the page."""
    key = (file.file_id, entity.key, repr(told))
    known: Read | None = st.session_state.get(READ)
    if known is not None and known.key == key:
        return known
    with st.spinner(f"Reading {plain(file.name)} …"):
        content = file.getvalue()
        found = _outcome(key, file.name, content, entity, told)
        if told is None:
            remembered = _remembered(entity, found)
            if remembered is not None:
                again = _outcome(key, file.name, content, entity, remembered.reading)
                if again.report is not None:
                    found = Read(key, again.report, None, remembered)
    st.session_state[READ] = found
    return found


def _outcome(
    key: tuple[Any, ...], name: str, content: bytes, entity: Entity, told: Reading | None
) -> Read:
    try:
        return Read(key, read(name, content, entity.key, told), None)
    except (UnreadableFile, WrongReport, Unmapped) as error:
        return Read(key, None, error)


def _remembered(entity: Entity, found: Read) -> Remembered | None:
    """What somebody has said of files with the same headings."""
    if isinstance(found.error, Unmapped):
        rows, first = found.error.preview, 1
    elif found.report is not None and found.report.reading.header:
        rows, first = [found.report.headings], found.report.reading.header
    else:
        return None
    with viewer.reading("look up how a file is read") as (connection, _):
        return mappings.remembered(connection, entity.key, rows, first)


# ---------------------------------------------------------------- what was read


def _summary(entity: Entity, report: Report) -> None:
    """What was read of the file and what was not, and whether the sums agree."""
    known = [report.report or "A list", report.system, report.period, report.basis]
    st.markdown(
        f"**{entity.count(len(report.documents))}** · {figure(report.documents_total)} · "
        + " · ".join(plain(one) for one in known if one)
    )
    skipped = [f"{number:,} {plain(reason)}" for reason, number in report.skipped.items()]
    left = report.rows_read - report.used
    st.markdown(
        f":green[:material/check_circle:] {counted(report.rows_read, 'row')} read ="
        f" {report.used:,} used + {left:,} left out"
        + (f" ({', '.join(skipped)})" if skipped else "")
        + "  \n"
        + _totals(report)
    )
    for warning in report.warnings:
        if warning.startswith("The report's own total"):
            continue  # said above, with the difference
        st.markdown(f":orange[:material/warning:] {plain(warning)}")
    _compared_before(entity, report)
    if report.left_out:
        with st.expander(f"What was left out ({left:,})"):
            _left_out(report)


def _compared_before(entity: Entity, report: Report) -> None:
    with viewer.reading("look for the same file") as (connection, _):
        before = saved.same_file(connection, entity, report.sha256)
    if before is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                f":material/history: {plain(before.actor)} has compared this very file on"
                f" {moment(before.at)}.",
                width="content",
            )
            st.page_link(places.reconcile(), label="Open that", query_params={"id": before.id})


def _totals(report: Report) -> str:
    """The report's own total against ours."""
    ours = report.control_total
    if report.file_total is None or ours is None:
        adds = f"; what was read adds up to {figure(ours)}" if ours is not None else ""
        return f":material/info: The report has no total to check against{adds}."
    if report.file_total == ours:
        return (
            f":green[:material/check_circle:] The report's own total, {figure(ours)}, is the sum of"
            " what was read."
        )
    return (
        f":orange[:material/warning:] The report's own total is {figure(report.file_total)}, what"
        f" was read adds up to {figure(ours)}: {figure(abs(ours - report.file_total))} apart."
    )


def _left_out(report: Report) -> None:
    rows = report.left_out
    st.dataframe(
        pd.DataFrame(
            {
                "Row": [one.row for one in rows],
                "Why": [one.reason for one in rows],
                "What it says": [one.text for one in rows],
            }
        ),
        hide_index=True,
        height=240,
        column_config={"What it says": st.column_config.TextColumn(width=800)},
        alt="Rows of the file that are left out",
    )
    if len(rows) < report.rows_read - report.used:
        st.caption("Blank rows, titles and the like are counted only.")


# ---------------------------------------------------------------- comparing


def _compare(entity: Entity, report: Report, links: dict[int, tuple[str, str]]) -> None:
    """Ask what only the user can say, then compare."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        of_system = [key for key, (_, system) in links.items() if _same(system, report.system)]
        first = of_system[0] if len(of_system) == 1 else None
        link = st.selectbox(
            "Connection whose books these are",
            list(links),
            index=list(links).index(first) if first is not None else None,
            format_func=lambda key: links[key][0],
            placeholder="Choose the connection",
            key=f"reconcile_connection_{entity.key}_{report.sha256}",
            width=300,
        )
        coverage = st.segmented_control(
            "The report holds",
            # A list of open items can't be made to prove more than it does.
            [
                one
                for one in COVERS
                if one is not Coverage.ALL or report.coverage is not Coverage.OPEN
            ],
            default=report.coverage,
            required=True,
            format_func=COVERS.__getitem__,
            key=f"reconcile_coverage_{entity.key}_{report.sha256}",
        )
        start = _day("From", report.start, entity, report)
        end = _day("Through", report.end, entity, report)
        missing = link is None or (coverage is Coverage.ALL and not (start and end))
        compare = st.button("Compare", type="primary", icon=":material/balance:", disabled=missing)
    st.caption(
        f"{MEANS[coverage]} Records closed as “Will not be synced” are never missing."
        + (" Name the connection." if link is None else "")
        + (
            " Say from which day through which day."
            if coverage is Coverage.ALL and not (start and end)
            else ""
        )
    )
    if not compare or link is None:
        return
    scope = Scope(coverage, start, end, report.amount_is_open)
    told = (st.session_state[READ].key, link, scope)
    bar = st.progress(0.0)
    identity = saved.compare(
        viewer.principal(),
        report,
        link,
        scope,
        # Made of what is compared: a second click compares nothing twice.
        identity=str(uuid5(NAMESPACE_OID, repr(told))),
        progress=lambda share, doing: bar.progress(share, f"{doing} …"),
    )
    st.query_params["id"] = identity
    st.session_state[SHOWN] = identity
    st.rerun()


def _provable(report: Report) -> list[Coverage]:
    """What a user may say that a report holds: a list of open items proves no more than that."""
    whole = report.coverage is not Coverage.OPEN
    return [one for one in COVERS if whole or one is not Coverage.ALL]


def _same(system: str, other: str) -> bool:
    """Whether two texts name the same accounting system."""
    return system.replace("_", " ").casefold() == other.casefold()


def _day(label: str, value: date | None, entity: Entity, report: Report) -> date | None:
    chosen: date | None = st.date_input(
        label,
        value,
        key=f"reconcile_{label}_{entity.key}_{report.sha256}",
        format="YYYY-MM-DD",
        width=150,
    )
    return chosen


# ---------------------------------------------------------------- those compared before


def _latest() -> None:
    with viewer.reading("list reconciliations") as (connection, _):
        number = saved.count(connection)
        pages = -(-number // PAGE)
        place = min(st.session_state.get("reconcile_page", 1), max(pages, 1))
        found = saved.latest(connection, PAGE, (place - 1) * PAGE)
        counts = saved.counts(connection, [one.id for one in found])
    if not found:
        return
    ids = [one.id for one in found]
    titles = {one.id: f"{one.file_name} · {moment(one.at)}" for one in found}
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Compared before**", width="content")
        # A file in the grid can be clicked only, which takes a mouse.
        st.selectbox(
            "Open a comparison",
            ids,
            index=None,
            format_func=titles.__getitem__,
            placeholder="Open …",
            label_visibility="collapsed",
            key=CHOSEN,
            width=320,
            on_change=_choose,
        )
    shown = pd.DataFrame(
        {
            "file": [one.file_name for one in found],
            "Records": [one.entity.title for one in found],
            "Connection": [one.connection for one in found],
            "Period": [period(one) for one in found],
            "Agree": [counts[one.id].get(Bucket.AGREES, 0) for one in found],
            "To look at": [_open_lines(counts[one.id]) for one in found],
            "When": [moment(one.at) for one in found],
            "Who": [one.actor for one in found],
        }
    )
    st.data_editor(
        shown,
        # The key names the rows, so that a click can never meet others than it was made on.
        key=f"reconciliations_{hash(tuple(ids))}",
        disabled=list(shown.columns),  # one by one: where all is disabled, buttons are as well
        hide_index=True,
        row_height=ROW_HEIGHT,
        height=ROW_HEIGHT * (len(found) + 1) + 4,
        column_config={
            "file": st.column_config.ButtonColumn(
                "File",
                help="Opens what was found",
                alignment="left",
                type="tertiary",
                width=250,
                key=OPENED,
                on_click=_open,
                args=(ids,),
            ),
            "Connection": st.column_config.TextColumn(width=230),
            "Period": st.column_config.TextColumn(width=190),
        },
        alt="Reconciliations",
    )
    if pages > 1:
        st.pagination(pages, key="reconcile_page")


def _open_lines(counts: Mapping[Bucket, int]) -> int:
    """How many lines do not agree."""
    return sum(counts.values()) - counts.get(Bucket.AGREES, 0)


def _choose() -> None:
    if st.session_state.get(CHOSEN):
        st.query_params["id"] = st.session_state[CHOSEN]


def _open(ids: Sequence[str]) -> None:
    click = st.session_state[OPENED]
    if click and 0 <= click.row < len(ids):
        st.query_params["id"] = ids[click.row]

"""A receipt in words: what an operation did, and what became of its records since."""

from datetime import timedelta

import streamlit as st
from sqlalchemy import Connection

from synchist import receipts
from synchist.accounts import Actor
from synchist.db.types import utc_now
from synchist.entities import BY_KEY, Entity
from synchist.receipts import Followed, Receipt, Since, Untouched
from synchist.statuses import FIXED, Action, ItemOutcome, SyncStatus, reason_label
from synchist.ui import places, viewer
from synchist.ui.wording import age, badge, counted, listed, plain

PUT_AWAY = "receipt_put_away"
RECENT = timedelta(days=1)
"""How long the last receipt stands on top of the pages; Operations keeps all of them."""

SINCE = {
    Since.COMPLETE: ":green[{} now Complete]",
    Since.SAME_CAUSE: ":red[{} failed again for the same cause]",
    Since.OTHER_CAUSE: ":red[{} failed for another cause]",
    Since.FAILED: ":red[{} failed again]",
    Since.PENDING: ":orange[{} tried, still Pending]",
    Since.CHANGED: "{} changed again by people",
}


def what(receipt: Receipt) -> str:
    """What the operation did, as Markdown: `37 invoices moved to Pending after a fix`."""
    applied = receipt.applied_to
    records = listed([one.count(applied[key]) for key, one in BY_KEY.items() if key in applied])
    records = records or "0 records"
    if receipt.action is Action.UNDO:
        return f"**{records} taken back**"
    if receipt.action is Action.LOAD or receipt.to is None:
        return f"**{records} loaded from a file**"
    reason = f" ({receipt.reason.label})" if receipt.reason else ""
    fixed = f" {reason_label(FIXED)}" if receipt.fixed else ""
    return f"**{records} moved to** {badge(receipt.to)}{reason}{fixed}"


def left(receipt: Receipt) -> list[str]:
    """What it left alone, in words."""
    return [
        f"{number:,} {outcome.sentence}"
        for outcome, number in receipt.outcomes.items()
        if outcome is not ItemOutcome.APPLIED
    ]


def since(receipt: Receipt) -> list[str]:
    """What became of the records, as far as anything has."""
    number = receipt.since
    if receipt.to is SyncStatus.COMPLETE:
        untried = (Since.CHANGED, Since.NOTHING)
        attempted = sum(count for one, count in number.items() if one not in untried)
        parts = [f":orange[{attempted:,} attempted by a job after that]"] if attempted else []
        changed = number.get(Since.CHANGED, 0)
        return [*parts, *([SINCE[Since.CHANGED].format(f"{changed:,}")] if changed else [])]
    parts = [words.format(f"{number[one]:,}") for one, words in SINCE.items() if number.get(one)]
    if receipt.to is SyncStatus.PENDING and (waiting := number.get(Since.NOTHING)):
        long = utc_now() - receipt.at >= timedelta(minutes=1)
        parts.append(f"{waiting:,} not attempted {f'for {age(receipt.at)}' if long else 'yet'}")
    return parts


def one_since(since: Since) -> str:
    """What became of one record."""
    return SINCE.get(since, "nothing yet").replace("{} ", "")


def show_latest(actor: Actor, entity: Entity | None = None) -> None:
    """`show_read` in a transaction of its own."""
    with viewer.reading("read the last receipt") as (connection, _):
        show_read(connection, actor, entity)


def show_read(connection: Connection, actor: Actor, entity: Entity | None = None) -> None:
    """The viewer's own last operation, until it is put away; on an entity's page only where it
    was about that entity. Read from the history, so that it is there after a reload as well."""
    mine = receipts.latest_id(connection, actor.id, utc_now() - RECENT)
    if mine is None or st.session_state.get(PUT_AWAY) == mine:
        return
    receipt = receipts.receipt(connection, mine)
    about = {*receipt.applied_to, *(item.entity for item in receipt.untouched)}
    if entity is not None and entity.key not in about:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        icon = ":green[:material/check_circle:]" if receipt.applied else ":material/info:"
        parts = [f"{icon} {what(receipt)}", f"{age(receipt.at)} ago", *left(receipt)]
        st.markdown(" · ".join([*parts, *since(receipt)]), width="content")
        st.page_link(
            places.operations(),
            label="Receipt and undo",
            icon=":material/receipt:",
            query_params={"id": receipt.operation_id},
        )
        st.button(
            "Put away",
            type="tertiary",
            icon=":material/close:",
            on_click=st.session_state.update,
            kwargs={PUT_AWAY: receipt.operation_id},
        )
    show_untouched(receipt.untouched)


def show_untouched(items: tuple[Untouched, ...]) -> None:
    """The records that an operation left alone, and why."""
    if not items:
        return
    st.table(
        {
            "Left untouched": [link(item) for item in items],
            "Why": [plain(item.why) for item in items],
        },
        hide_index=True,
        border="horizontal",
        alt="Records that the change left untouched",
    )


def link(item: Untouched | Followed) -> str:
    """A record as a link to its page, with its kind."""
    entity = BY_KEY[item.entity]
    address = f"/record?entity={entity.slug}&id={item.record_id}"
    return f"{entity.singular} [{plain(item.number)}]({address})"


def summary(receipt: Receipt) -> str:
    """Everything about an operation in one line, as Markdown."""
    asked = counted(receipt.requested, "record")
    parts = [what(receipt)]
    if receipt.requested != receipt.applied:
        parts.append(f"of {asked} asked")
    return " · ".join([*parts, *left(receipt), *since(receipt)])

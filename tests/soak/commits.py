"""T4: a COMMIT is lost, or its reply is; asked again, the operation is carried out exactly once."""

import time
from collections import Counter
from collections.abc import Callable
from itertools import cycle, islice
from random import Random

import psycopg
import pytest

from synchist.accounts import Principal
from synchist.db.engine import DatabaseUnavailable
from synchist.statuses import SyncStatus
from tests.conftest import configured
from tests.soak.operations import (
    carried_out_once,
    move,
    new_identity,
    some,
    versions,
)
from tests.soak.proxy import Cut, Proxy, between


def cut_commits(
    server: str,
    principal: Principal,
    times: int,
    progress: Callable[[int], None] = lambda times: None,
) -> str:
    """Cut so many COMMITs, in turn before and after the server has carried them out. Returns what
    was done in words; raises AssertionError."""
    chance, began = Random(4), time.monotonic()
    with (
        between(server) as proxy,
        configured(proxy.url),
        psycopg.connect(server, autocommit=True) as direct,
    ):
        for number, cut in enumerate(islice(cycle(Cut), times), start=1):
            _cut_and_ask_again(proxy, direct, principal, cut, chance)
            progress(number)
    cuts = proxy.cuts
    assert cuts == Counter(islice(cycle(Cut), times)), f"Not every COMMIT was cut: {cuts}"
    return (
        f"{times:,} COMMITs cut, {cuts[Cut.BEFORE]:,} before and {cuts[Cut.AFTER]:,} after they"
        f" were carried out, in {time.monotonic() - began:,.0f} s: each done once"
    )


def _cut_and_ask_again(
    proxy: Proxy, direct: psycopg.Connection, principal: Principal, cut: Cut, chance: Random
) -> None:
    identity, to = new_identity(chance), chance.choice(list(SyncStatus))
    before = versions()
    selection = some(before, chance, entities=1, share=0.2)
    proxy.armed = cut
    with pytest.raises(DatabaseUnavailable):
        move(principal, identity, selection, to)
    there = direct.execute("SELECT FROM operation WHERE id = %s", (identity,)).rowcount
    assert there == (cut is Cut.AFTER), f"{there} operations are there {cut} their COMMIT."
    carried_out_once(principal, identity, selection, to, before)

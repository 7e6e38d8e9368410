"""A client of Streamlit's own protocol, for what no browser would send."""

import json
from typing import Any, Self

import httpx
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Delta_pb2 import Delta
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import connect

from synchist.ui.risk_grid import TICK

FINISHED = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)


def sign_in(address: str, who: str) -> str:
    """The token of a new session of one of the demo's accounts."""
    reply = httpx.post(
        f"{address}/sign-in", data={"demo": who, "next": "/"}, headers={"Origin": address}
    )
    return reply.cookies["synchist_session"]


class Tab:
    """One tab without a browser: it runs a page and collects the elements that come back."""

    def __init__(
        self, address: str, page: str, who: str = "", *, token: str = "", query: str = ""
    ) -> None:
        """Open a tab as one of the demo's accounts, or with the token of a session."""
        token = token or sign_in(address, who)
        cookie = f"synchist_session={token}"
        self.connecting = connect(
            address.replace("http", "ws") + "/_stcore/stream",
            additional_headers={"Cookie": cookie},
            origin=address,
            subprotocols=["streamlit"],
            max_size=None,
        )
        self.page = page
        self.query = query
        self.elements: list[Any] = []
        self.fragment = ""
        """That of the last element: the open dialog's."""
        self.sent: list[tuple[WidgetState, ...]] = []
        """What each run was asked with."""

    def __enter__(self) -> Self:
        self.socket = self.connecting.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.connecting.__exit__(*error)

    def run(self, *states: WidgetState, fragment: str = "") -> None:
        """Run the page's script, or one fragment of it, with these widget states, whatever they
        claim."""
        message = BackMsg()
        message.rerun_script.page_name = self.page
        message.rerun_script.query_string = self.query
        message.rerun_script.fragment_id = fragment
        message.rerun_script.widget_states.widgets.extend(states)
        self.sent.append(states)
        self.socket.send(message.SerializeToString())
        self.elements = []
        while True:
            received = ForwardMsg()
            received.ParseFromString(self.socket.recv(timeout=60))
            if received.HasField("delta") and received.delta.HasField("new_element"):
                self.take(received.delta)
            if received.HasField("script_finished") and received.script_finished in FINISHED:
                return

    def take(self, delta: Delta) -> None:
        """An element has come."""
        self.elements.append(delta.new_element)
        self.fragment = delta.fragment_id

    def texts(self) -> str:
        """All Markdown, headings and alerts that the last run has shown."""
        shown = []
        for element in self.elements:
            kind = element.WhichOneof("type")
            body = getattr(getattr(element, kind), "body", "")
            shown.append(body if isinstance(body, str) else "")
        return "\n".join(shown)

    def said(self) -> str:
        """The same as people read it."""
        return self.texts().replace("\\", "").replace("*", "")

    def grid(self) -> Any:
        """The grid's element."""
        return next(
            element.dataframe
            for element in self.elements
            if element.WhichOneof("type") == "dataframe" and element.dataframe.id
        )

    def all(self, kind: str) -> list[Any]:
        """The elements of a kind, as `button`, in the order of the page."""
        return [getattr(one, kind) for one in self.elements if one.WhichOneof("type") == kind]

    def button(self, label: str) -> Any:
        """The element of a button, by its label or by how that begins with an ellipsis."""
        return next(
            button
            for button in self.all("button")
            if button.label == label
            or (label.endswith("…") and button.label.startswith(label.removesuffix("…")))
        )

    def applying(self) -> list[WidgetState]:
        """A click on Apply in the open dialog, after the ticks that records at risk need: a button
        that is disabled is deaf."""
        risky = [grid for grid in self.all("dataframe") if "may already be" in grid.alt]
        tick = json.dumps(
            {"edited_rows": {"0": {TICK: True}}, "added_rows": [], "deleted_rows": []}
        )
        ticks = [WidgetState(id=grid.id, string_value=tick) for grid in risky]
        for one in self.all("checkbox"):
            if one.label.startswith("Change all"):
                ticks = [WidgetState(id=one.id, bool_value=True)]
        if ticks:
            self.run(*ticks, fragment=self.fragment)
        return [*ticks, WidgetState(id=self.button("Apply to …").id, trigger_value=True)]


def edits(grid: Any, edited_rows: dict[str, Any]) -> WidgetState:
    """A state in which a grid claims to have been edited like this."""
    content = {"edited_rows": edited_rows, "added_rows": [{"number": "X"}], "deleted_rows": [0]}
    return WidgetState(id=grid.id, string_value=json.dumps(content))

"""The product as one ASGI application. `streamlit run app.py` finds it here and serves it."""

from streamlit.starlette import App

from synchist.ui import faults
from synchist.web.start import MIDDLEWARE, ROUTES

app = App(
    "synchist/ui/navigation.py",
    routes=ROUTES,
    middleware=MIDDLEWARE,
    on_script_error=faults.show,
)

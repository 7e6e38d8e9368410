"""The Starlette side: gate, sign-in, downloads, readiness."""

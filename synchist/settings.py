"""What an installation may set, read once from the environment (`SYNCHIST_…`)."""

from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """One attribute a setting; the docs table in `docs/settings.md` is checked against these."""

    model_config = SettingsConfigDict(env_prefix="SYNCHIST_", frozen=True)

    database_url: str = Field(
        default="",
        description="SQLAlchemy address of the database; empty means SQLite in data/synchist.db",
    )
    time_zone: str = Field(
        default="America/Chicago",
        description="Business time zone: dates are filtered, grouped and shown in it",
    )
    max_records_per_operation: int = Field(
        default=10_000, ge=1, description="Most records that one status change may touch"
    )
    typed_confirmation_above: int = Field(
        default=1_000, ge=1, description="Above this many records the count must be typed"
    )
    session_idle_minutes: int = Field(
        default=60, ge=1, description="A session without any action ends after so many minutes"
    )
    session_hours: int = Field(
        default=12, ge=1, description="A session ends after so many hours in any case"
    )
    served_over_tls: bool = Field(
        default=False, description="Set it where a proxy in front of the server speaks TLS"
    )
    lock_wait_seconds: int = Field(
        default=20, ge=1, description="How long a write waits for another one to finish"
    )

    pending_hours: int = Field(
        default=24,
        ge=1,
        description="A Pending record that no job has tried for so many hours counts as stuck",
    )

    address: str = Field(
        default="",
        pattern=r"^(https?://[^\s]+)?$",
        description="Where people open the pages, such as https://sync.example.com: digests link"
        " there; empty means no links",
    )

    seal_file: str = Field(
        default="",
        description="File to which the newest seal of the history is appended, best on another"
        " machine: docs/assurance.md; empty means none",
    )

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        ZoneInfo(name)
        return name

    @property
    def zone(self) -> ZoneInfo:
        """The business time zone."""
        return ZoneInfo(self.time_zone)

    @property
    def url(self) -> str:
        """The database address in force: the configured one, else the embedded SQLite file."""
        if not self.database_url:
            return f"sqlite:///{PROJECT / 'data' / 'synchist.db'}"
        # A bare postgresql:// would ask SQLAlchemy for psycopg2, which is not installed.
        scheme, separator, rest = self.database_url.partition("://")
        if scheme in ("postgres", "postgresql"):
            scheme = "postgresql+psycopg"
        return scheme + separator + rest


@cache
def settings() -> Settings:
    """The settings of this process."""
    return Settings()

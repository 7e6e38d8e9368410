"""`python -m benchmarks`: measure, print the table, write the figures to data/bench/."""

from collections.abc import Callable, Iterator

import click

from benchmarks import (
    causes,
    changes,
    databases,
    exports,
    load,
    overview,
    pages,
    queries,
    reconciliation,
    records,
    sealing,
)
from benchmarks.databases import KINDS, SMALL, Database
from benchmarks.measure import Figure, save, table

GROUPS: dict[str, Callable[[Database, Database], Iterator[Figure]]] = {
    "queries": queries.measure,
    "changes": changes.measure,
    "causes": causes.measure,
    "overview": overview.measure,
    "records": records.measure,
    "sealing": sealing.measure,
    "exports": exports.measure,
    "reconciliation": reconciliation.measure,
    "pages": pages.measure,
    "load": load.measure,
}


@click.command()
@click.argument("groups", nargs=-1, type=click.Choice(list(GROUPS)))
@click.option(
    "--records",
    type=click.IntRange(SMALL),
    default=1_000_000,
    show_default=True,
    help="Records of the large database.",
)
@click.option("--on", "kinds", type=click.Choice(KINDS), multiple=True, help="One database only.")
def main(groups: tuple[str, ...], records: int, kinds: tuple[str, ...]) -> None:
    """Measure all groups, or the given ones, on SQLite and PostgreSQL."""
    figures: list[Figure] = []
    for kind in kinds or KINDS:
        small, large = databases.database(kind, SMALL), databases.database(kind, records)
        for group in groups or GROUPS:
            for figure in GROUPS[group](small, large):
                figures.append(figure)
                save(figures, databases.HOME / "results.json")
                click.echo(f"{figure.where}: {figure.what}", err=True)
    click.echo(table(figures))


if __name__ == "__main__":
    main()

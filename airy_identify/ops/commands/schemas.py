"""`schemas register` and `schemas check`."""

from collections.abc import Sequence

import click

from airy_identify.ops.commands.base import (
    EXIT_FAILED,
    Commands,
    example,
    json_option,
    print_json,
    print_table,
    run,
    settings_of_environment,
)
from airy_identify.ops.schemas import SubjectReport, SubjectState, check_schemas, register_schemas


@click.group(cls=Commands, epilog=example("airy-identify schemas check && airy-identify schemas register"))
def schemas() -> None:
    """Register the schemas of requests and answers, or check whether the registry would take them."""


@schemas.command(epilog=example("airy-identify schemas register"))
@json_option
def register(*, as_json: bool) -> None:
    """Register today's schemas, and have their subjects demand FULL_TRANSITIVE compatibility."""
    reports = run(register_schemas(settings_of_environment()))
    _show("registered schemas", reports, as_json=as_json)


@schemas.command(epilog=example("airy-identify schemas check"))
@json_option
def check(*, as_json: bool) -> None:
    """Tell whether each subject has, or would take, today's schema; fail when one would not."""
    reports = run(check_schemas(settings_of_environment()))
    _show("schemas", reports, as_json=as_json)
    problems = [report.problem for report in reports if report.problem is not None]
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        click.get_current_context().exit(EXIT_FAILED)
    if not as_json and (count := sum(report.state is SubjectState.NEW for report in reports)):
        click.echo(f"{count} schemas are not registered yet: airy-identify schemas register")


def _show(title: str, reports: Sequence[SubjectReport], *, as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {
                    "subject": report.subject,
                    "record": report.record,
                    "state": report.state.value,
                    "schema_id": report.schema_id,
                }
                for report in reports
            ]
        )
        return
    rows = [(report.subject, report.record, report.schema_id, report.state.value) for report in reports]
    print_table(title, ("subject", "record", "schema id", "state"), rows)

"""`topics create` and `topics check`."""

from collections.abc import Sequence

import click

from airy_identify.ops.commands.base import (
    EXIT_FAILED,
    Commands,
    example,
    json_option,
    print_json,
    run,
    settings_of_environment,
)
from airy_identify.ops.errors import TopicsError
from airy_identify.ops.generations import current_numbers, read_generations, table_partitions
from airy_identify.ops.topics import Problem, check_topics, create_topics, missing_of_airy, read_topics
from airy_identify.settings import Settings
from airy_identify.topics import TopicDeclaration, declare, declare_airy


@click.group(cls=Commands, epilog=example("airy-identify topics create && airy-identify topics check"))
def topics() -> None:
    """Create the service's topics, or check them."""


@topics.command(epilog=example("airy-identify topics create"))
@click.option("--with-airy", is_flag=True, help="Create Airy's topics too: for a local broker without Airy.")
@json_option
def create(*, with_airy: bool, as_json: bool) -> None:
    """Create the topics that are missing, and check the others."""
    settings = settings_of_environment()
    created, problems = run(_create(settings, with_airy=with_airy))
    if as_json:
        print_json({"created": created, "problems": _as_json(problems)})
    else:
        for name in created:
            click.echo(f"created {name}")
        click.echo(f"{len(created)} topics created; the others were there already")
    _report(problems)


@topics.command(epilog=example("airy-identify topics check"))
@json_option
def check(*, as_json: bool) -> None:
    """Tell everything in which the topics are not as they have to be."""
    settings = settings_of_environment()
    problems = run(_check(settings))
    if as_json:
        print_json({"problems": _as_json(problems)})
    elif not problems:
        click.echo("all topics are as they have to be")
    _report(problems)


async def _create(settings: Settings, *, with_airy: bool) -> tuple[list[str], list[Problem]]:
    created = []
    if with_airy:
        created += await create_topics(
            settings.kafka_bootstrap_servers,
            declare_airy(settings.topic_names),
            replication_factor=settings.replication_factor,
        )
    declarations = await _declarations(settings)
    created += await create_topics(
        settings.kafka_bootstrap_servers, declarations, replication_factor=settings.replication_factor
    )
    return created, await _compare(settings, declarations)


async def _check(settings: Settings) -> list[Problem]:
    return await _compare(settings, await _declarations(settings))


async def _compare(settings: Settings, declarations: Sequence[TopicDeclaration]) -> list[Problem]:
    return await check_topics(
        settings.kafka_bootstrap_servers, declarations, replication_factor=settings.replication_factor
    )


async def _declarations(settings: Settings) -> tuple[TopicDeclaration, ...]:
    """Return our topics. As many partitions as Airy's topics have the changelogs of their readers."""
    names = settings.topic_names
    airy = [names.airy_messages, names.airy_channels, *([names.airy_contacts] if settings.contacts_in else [])]
    found = await read_topics(settings.kafka_bootstrap_servers, airy)
    if missing := [name for name in airy if name not in found]:
        raise TopicsError(
            "\n".join(missing_of_airy(names, name) for name in missing)
            + "\nIs AIRY_IDENTIFY_AIRY_CORE_NAMESPACE right? For a local broker without Airy: topics create --with-airy"
        )
    contacts_partitions = found[names.airy_contacts].partitions if settings.contacts_in else None
    counts = table_partitions(settings, found[names.airy_messages].partitions, contacts_partitions)
    return declare(
        names,
        partitions=settings.partitions,
        messages_partitions=found[names.airy_messages].partitions,
        contacts_partitions=contacts_partitions,
        production=settings.production,
        generations=current_numbers(await read_generations(settings), counts),
    )


def _as_json(problems: Sequence[Problem]) -> list[dict[str, str]]:
    return [{"topic": problem.topic, "message": problem.message} for problem in problems]


def _report(problems: Sequence[Problem]) -> None:
    """Say what is wrong and end with 1, if anything is."""
    for problem in problems:
        click.echo(str(problem), err=True)
    if problems:
        click.get_current_context().exit(EXIT_FAILED)

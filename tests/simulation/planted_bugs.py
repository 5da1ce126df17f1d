"""Bugs to plant in the engine, each as one textual change: the simulation has to find every one of them.

`old` is in `file` exactly once. A check replaces it by `new` in a copy of the project and runs `caught_by` there: it has
to fail.
"""

from typing import NamedTuple

CAUGHT_BY = "tests/simulation/test_simulation.py::test_nothing_is_lost_or_done_twice_whatever_happens"

_SHARD = "airy_identify/stream/shard.py"
_OPENING = "airy_identify/stream/opening.py"
_FOLLOWER = "airy_identify/stream/follower.py"
_SHARDS = "airy_identify/stream/shards.py"
_ASSIGNMENT = "airy_identify/stream/assignment.py"
_TRANSACTION = "airy_identify/stream/transaction.py"
_TURNING = "airy_identify/stream/turning.py"
_REBUILD = "airy_identify/stream/rebuild.py"
_GENERATIONS_TEST = "tests/simulation/test_generations.py::"
_BATCH = "airy_identify/stream/batch.py"


class PlantedBug(NamedTuple):
    """A textual change, and the test that goes red."""

    name: str
    file: str
    old: str
    new: str
    caught_by: str = CAUGHT_BY


PLANTED_BUGS = (
    PlantedBug(
        "rows reach RocksDB before their commit",
        _SHARD,
        """            changelog_position = await asyncio.wait_for(
                self._transaction.commit(batch, position=max(position, self._answered_to + 1)), COMMIT_TIMEOUT_S
            )
        except TOO_LARGE as error:
            raise too_large(batch, self.changelog, first_offset=records[0].offset) from error
        self._sync(batch.rows.items(), changelog_position)
""",
        """            self._sync(batch.rows.items(), self._changelog_position)
            changelog_position = await asyncio.wait_for(
                self._transaction.commit(batch, position=max(position, self._answered_to + 1)), COMMIT_TIMEOUT_S
            )
        except TOO_LARGE as error:
            raise too_large(batch, self.changelog, first_offset=records[0].offset) from error
        self._sync((), changelog_position)
""",
    ),
    PlantedBug(
        "each opening has a transactional id of its own, so that nobody is fenced",
        _SHARD,
        """            f"{self._settings.app_id}-{self.name}",
            request_timeout_ms""",
        """            f"{self._settings.app_id}-{self.name}-{id(self)}-{started}",
            request_timeout_ms""",
    ),
    PlantedBug(
        "the changelog's end is asked for before the former owner is fenced",
        _SHARD,
        """        await asyncio.wait_for(self._producer.start(), FENCE_TIMEOUT_S)
        fenced = time.monotonic()
        await self._take_generation()
        self.reason = f"restoring its table from {self.changelog.topic}:{self.changelog.partition}"
        self._transaction = BatchTransaction(
            self._producer,
            source=self.source,
            changelog=self.changelog,
            group_id=self._settings.app_id,
            one_by_one=self._reply_topics.one_by_one,
        )
        self._consumer = self._clients.consumer()
        await self._consumer.start()
        await self._check_partition_counts()
        known_at_ms = self._environment.clock_ms()
        begin = await self._consumer.beginning_offsets([self.source, self.changelog])
        end = await self._consumer.end_offsets([self.source, self.changelog])
""",
        """        await self._take_generation()
        self.reason = f"restoring its table from {self.changelog.topic}:{self.changelog.partition}"
        self._transaction = BatchTransaction(
            self._producer,
            source=self.source,
            changelog=self.changelog,
            group_id=self._settings.app_id,
            one_by_one=self._reply_topics.one_by_one,
        )
        self._consumer = self._clients.consumer()
        await self._consumer.start()
        await self._check_partition_counts()
        known_at_ms = self._environment.clock_ms()
        begin = await self._consumer.beginning_offsets([self.source, self.changelog])
        end = await self._consumer.end_offsets([self.source, self.changelog])
        await asyncio.wait_for(self._producer.start(), FENCE_TIMEOUT_S)
        fenced = time.monotonic()
""",
    ),
    PlantedBug(
        "a shard begins at the end of its log",
        _SHARD,
        "        self._consumer.seek(self.source, self.next_offset)\n        self.read_to = self.next_offset\n",
        "        self.next_offset = log.end\n"
        "        self._consumer.seek(self.source, self.next_offset)\n        self.read_to = self.next_offset\n",
    ),
    PlantedBug(
        "the progress row is forgotten",
        _SHARD,
        "        batch.put(PROGRESS_KEY, encode_progress(progress))\n",
        "",
    ),
    PlantedBug(
        "a batch that failed is left out",
        _SHARD,
        "needs_whole_log=self.spec.needs_whole_log, committed=committed)\n",
        "needs_whole_log=self.spec.needs_whole_log, committed=committed)\n"
        "        self.next_offset = max(self.next_offset, self.read_to)\n",
    ),
    PlantedBug(
        "the last record is applied again after opening",
        _OPENING,
        "    after = progress.offset + 1\n",
        "    after = progress.offset\n",
    ),
    PlantedBug(
        "a restore ends where its first fetch ended",
        _OPENING,
        "        if records:\n            yield records\n",
        "        if records:\n            yield records\n            return\n",
    ),
    PlantedBug(
        "the end of a restore is told by record offsets, which never reach behind a control record",
        _OPENING,
        "        read_to = await consumer.position(log.partition)\n",
        "        read_to = records[-1].offset + 1 if records else read_to\n",
    ),
    PlantedBug(
        "a restore passes tombstones over",
        _OPENING,
        "store.write(((record.key, record.value) for record in records), position=position, now_ms=synced_at_ms)",
        "store.write(((record.key, record.value) for record in records if record.value is not None), "
        "position=position, now_ms=synced_at_ms)",
    ),
    PlantedBug(
        "a restore that is cut short leaves the store looking up to date",
        _OPENING,
        "for record in records), position=position, now_ms=synced_at_ms)",
        "for record in records), position=position, now_ms=rules.now_ms())",
        "tests/simulation/test_stores.py::test_a_restore_that_is_cut_short_leaves_the_store_as_old_as_it_was",
    ),
    PlantedBug(
        "a store of any age is gone on with",
        _OPENING,
        "        if age_ms(state.synced_at_ms, rules) > rules.max_age_ms:\n",
        "        if rules.max_age_ms < 0:\n",
    ),
    PlantedBug(
        "a restore that a week interrupts is gone on with",
        _OPENING,
        "        if age_ms(synced_at_ms, rules) > 2 * rules.max_age_ms:\n",
        "        if rules.max_age_ms < 0:\n",
        "tests/simulation/test_stores.py::test_a_restore_that_a_week_interrupts_is_given_up",
    ),
    PlantedBug(
        "the store's position is taken from the first output, not from the changelog",
        _TRANSACTION,
        "        return self._position_after(futures[-1], sent[-1][1])\n",
        "        return self._position_after(futures[0], sent[-1][1])\n",
    ),
    PlantedBug(
        "outputs have a transaction of their own",
        _TRANSACTION,
        "        sent.append(await self._send(self._changelog, rows))\n",
        "        await self._producer.commit_transaction()\n"
        "        await self._producer.begin_transaction()\n"
        "        sent.append(await self._send(self._changelog, rows))\n",
    ),
    PlantedBug(
        "a shard reads what is not committed yet",
        _SHARD,
        "        self._consumer = self._clients.consumer()\n",
        "        self._consumer = self._clients.consumer(read_committed=False)\n",
    ),
    PlantedBug(
        "a batch does not see what it wrote itself",
        _BATCH,
        "        if key in self.rows:\n            return self.rows[key]\n",
        "",
    ),
    PlantedBug(
        "a shard begins while the last one of its partition still ends in this process",
        _SHARD,
        "        if previous is not None:\n            await previous.ended()\n",
        "",
    ),
    PlantedBug(
        "only Kafka's own errors make a shard open again",
        _SHARD,
        "        except (Exception, asyncio.CancelledError) as error:\n",
        "        except KafkaError as error:\n",
    ),
    PlantedBug(
        "a shard that is opening is not asked whether anybody still wants it",
        _SHARD,
        "        if not self.wanted:\n            raise ShardNotWantedError(self.name)\n",
        "",
        "tests/simulation/test_stores.py::test_a_shard_ends_while_it_opens_and_the_broker_is_gone",
    ),
    PlantedBug(
        "the fence waits for a broker without end",
        _SHARD,
        "await asyncio.wait_for(self._producer.start(), FENCE_TIMEOUT_S)",
        "await self._producer.start()",
        "tests/simulation/test_stores.py::test_a_shard_ends_while_it_opens_and_the_broker_is_gone",
    ),
    PlantedBug(
        "a shard that failed leaves its store open",
        _SHARD,
        "        self._store.close()\n        self._producer = self._consumer = self._transaction = None\n",
        "        self._producer = self._consumer = self._transaction = None\n",
    ),
    PlantedBug(
        "an idle shard calls its store up to date without asking whether the partition is still its own",
        _SHARD,
        "report_position(position, applied=self._applied, again=sync)",
        "report_position(position, applied=self._applied)",
        "tests/simulation/test_stores.py::"
        "test_an_idle_shard_makes_sure_that_it_is_still_the_owner_before_it_calls_its_store_up_to_date",
    ),
    PlantedBug(
        "an offset behind what was never applied is taken for a table whose changelog is lost",
        _TRANSACTION,
        '"" if applied else NOTHING_APPLIED',
        '""',
        "tests/simulation/test_stores.py::test_a_log_that_begins_with_aborted_records_is_begun_with",
    ),
    PlantedBug(
        "a standby goes on with a store of any age",
        _FOLLOWER,
        "            if age_ms(synced_at_ms, self._rules) > self._rules.max_age_ms:\n",
        "            if self._rules.max_age_ms < 0:\n",
        "tests/simulation/test_follower.py::test_what_was_not_up_to_date_for_too_long_is_made_anew",
    ),
    PlantedBug(
        "a standby calls its store up to date before it has come to the end",
        _FOLLOWER,
        "            if end is not None and read_to >= end:\n",
        "            if end is not None:\n",
        "tests/simulation/test_follower.py::test_what_it_wrote_on_the_way_to_the_end_leaves_the_store_as_old_as_it_was",
    ),
    PlantedBug(
        "a standby passes tombstones over",
        _FOLLOWER,
        "self._store.write(((record.key, record.value) for record in records), position=after, now_ms=synced_at_ms)",
        "self._store.write(((record.key, record.value) for record in records if record.value is not None), "
        "position=after, now_ms=synced_at_ms)",
        "tests/simulation/test_follower.py::test_whatever_happens_the_store_becomes_its_changelog",
    ),
    PlantedBug(
        "a standby reads what is not committed yet",
        _FOLLOWER,
        "        consumer = self._consumer = self._environment.clients.consumer()\n",
        "        consumer = self._consumer = self._environment.clients.consumer(read_committed=False)\n",
    ),
    PlantedBug(
        "a standby takes a commit that is not marked yet for a changelog that lost its end",
        _FOLLOWER,
        "        rules = replace(self._rules, written_to=await self._written_to())\n",
        "        rules = self._rules\n",
        "tests/simulation/test_follower.py::test_an_owner_may_know_of_a_commit_before_the_changelog_is_marked_with_it",
    ),
    PlantedBug(
        "a shard does not wait for the standby that has its directory",
        _SHARDS,
        "        shard.start(generation=self._generation, previous=previous, on_death=self._shard_died)\n",
        "        shard.start(generation=self._generation, previous=None, on_death=self._shard_died)\n",
    ),
    PlantedBug(
        "somebody stands by who would not be given the partition",
        _ASSIGNMENT,
        "        chosen = [successor] if successor in able else []\n",
        "        chosen = [successor][:0]\n",
        "tests/unit/stream/test_assignment.py::"
        "test_when_one_dies_its_tables_go_to_those_that_stood_by_and_nothing_else_moves",
    ),
    PlantedBug(
        "what a former generation of the table answered is answered again",
        _SHARD,
        "        again = records[-1].offset <= self._answered_to\n        batch",
        "        again = False\n        batch",
    ),
    PlantedBug(
        "a shard hands over one offset further than it has answered",
        _SHARD,
        "self.next_offset - 1 if self._applied else -1)",
        "self.next_offset if self._applied else -1)",
    ),
    PlantedBug(
        "which generation is current is not read to the end before a shard opens",
        "airy_identify/stream/generations.py",
        "        await self.reader.up_to_date()\n",
        "",
    ),
    PlantedBug(
        "the end of a control topic is that of readers of committed records",
        "airy_identify/stream/control.py",
        "ends = self._clients.consumer(read_committed=False, retry",
        "ends = self._clients.consumer(read_committed=True, retry",
        _GENERATIONS_TEST + "test_what_was_committed_behind_a_transaction_that_is_under_way_is_waited_for",
    ),
    PlantedBug(
        "the rebuild is not fenced by the shard that has its table",
        _SHARD,
        "            await fence_rebuild(self._clients, rebuild, request_timeout_ms=timeout_ms)\n",
        "            del rebuild, timeout_ms\n",
        _GENERATIONS_TEST + "test_a_shard_that_has_a_generation_has_cut_off_its_rebuild",
    ),
    PlantedBug(
        "a handover is written by a producer that nobody fences",
        _SHARD,
        "        handed_over = self._transaction.write(",
        "        producer = self._clients.transactional_producer(f'{self.name}-{id(self)}', request_timeout_ms=1)\n"
        "        await producer.start()\n"
        "        self._transaction._producer = producer\n"
        "        handed_over = self._transaction.write(",
    ),
    PlantedBug(
        "a shard turns to a table that has applied nothing, as if it were one that was lost",
        _TURNING,
        "        return next_offset is None and row is None\n",
        "        return True\n",
    ),
    PlantedBug(
        "offline, what was answered is asked for before the shard is fenced",
        _REBUILD,
        "self._find_answered(await self._running.look())\n                await self._follow",
        "self._find_answered(self._running.progress)\n                await self._follow",
    ),
    PlantedBug(
        "a rebuild does not know of what a shard has still to catch up with",
        "airy_identify/stream/rebuild_evidence.py",
        "        if handed_over_at is not None and handed",
        "        if handed_over_at is not None and handed_over_at < 0 and handed",
        _GENERATIONS_TEST + "test_a_table_that_has_not_caught_up_yet_was_answered_further_than_it_stands",
    ),
)

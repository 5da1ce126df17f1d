"""The planted bugs: what each is, where it is planted, and the test that catches it."""

from dataclasses import dataclass

CORE = "airy_identify/core/"
TABLE = "tests/property/test_laws_of_the_table.py::Test"
MERGES = "tests/property/test_laws_of_merges.py::Test"
PRIVACY = "tests/property/test_laws_of_privacy.py::Test"
ORDER = "tests/property/test_order_independence.py::test_a_merge_compatible_set_ends_in_the_same_people_in_any_order"
MODEL = "tests/model/test_identity_rules.py::TestIdentityRules"
AIRY = "tests/unit/core/test_airy_contacts.py::"
DELETED = "tests/unit/core/test_airy_merges_and_deletions.py::"
ROWS = "tests/property/test_order_of_airys_rows.py::"
LIMITS = "tests/model/test_identity_rules.py::TestIdentityRulesWithSmallLimits"


@dataclass(frozen=True)
class Bug:
    """`old`, which is in the file exactly once, becomes `new`; then `test` has to fail."""

    what: str
    file: str
    old: str
    new: str
    test: str


BUGS = (
    Bug(
        "released identifiers stay in the index",
        CORE + "index.py",
        "if key not in owners_after]",
        "if key not in owners_after and isinstance(key, AliasKey)]",
        TABLE + "OneLiveOwnerPerIdentifier",
    ),
    Bug(
        "a value in conflict is taken although somebody has it",
        CORE + "claims.py",
        "    return Conflict(key=key)",
        "    return Added(key=key)",
        TABLE + "OneLiveOwnerPerIdentifier",
    ),
    Bug(
        "ids that the other had taken in are lost in a merge",
        CORE + "merging.py",
        "aliases=(*survivor.aliases, *all_ids(other)),",
        "aliases=(*survivor.aliases, other.id),",
        TABLE + "EveryAliasEndsAtALiveContactInOneHop",
    ),
    Bug(
        "who came back stays an alias of the survivor",
        CORE + "parting.py",
        "aliases=tuple(alias for alias in contact.aliases if alias not in ids),",
        "aliases=contact.aliases,",
        TABLE + "EveryAliasEndsAtALiveContactInOneHop",
    ),
    Bug(
        "both keep the conversations after an unmerge",
        CORE + "parting.py",
        "conversations=tuple(each for each in contact.conversations if each.id not in conversation_ids),",
        "conversations=contact.conversations,",
        TABLE + "EveryConversationHasOneOwner",
    ),
    Bug(
        "the conversations of whoever ended are lost",
        CORE + "merging.py",
        "conversations=(*survivor.conversations, *other.conversations),",
        "conversations=survivor.conversations,",
        TABLE + "EveryConversationHasOneOwner",
    ),
    Bug(
        "a clock decides",
        CORE + "identify.py",
        "    return max(contact.updated_at_ms, command.accepted_at_ms)",
        '    return max(contact.updated_at_ms, __import__("time").time_ns())',
        TABLE + "ReplayGivesTheSameBytes",
    ),
    Bug(
        "a patch that changes nothing counts as a change",
        CORE + "metadata.py",
        "    return merged if changed else target",
        "    return merged",
        TABLE + "ADuplicateChangesNothing",
    ),
    Bug(
        "releasing what is not held writes a row",
        CORE + "release.py",
        "    if released is not contact:",
        "    if released is not None:",
        TABLE + "ADuplicateChangesNothing",
    ),
    Bug(
        "a visitor is not found again on the same device",
        CORE + "keys.py",
        "    if level_of(owner) is not Level.ANONYMOUS:",
        "    if level_of(owner) is Level.ANONYMOUS:",
        TABLE + "ARepeatedRequestFindsTheSame",
    ),
    Bug(
        "an untouched survivor counts as touched once a third contact came and went",
        CORE + "journal.py",
        "touched = replace(contact, known=left.known, separations=left.separations)",
        "touched = contact",
        TABLE + "MergeThenUnmergeOfUntouchedContactsIsByteIdentical",
    ),
    Bug(
        "an exact unmerge leaves the survivor's time",
        CORE + "unmerge.py",
        "        return row.survivor, row.merged",
        "        return replace(row.survivor, updated_at_ms=contact.updated_at_ms), row.merged",
        TABLE + "MergeThenUnmergeOfUntouchedContactsIsByteIdentical",
    ),
    Bug(
        "hard contacts end in others by a request",
        CORE + "claims.py",
        "if level_of(other) is Level.HARD or contradicts(",
        "if contradicts(",
        MERGES + "HardContactsAreMergedByCommandOnly",
    ),
    Bug(
        "separated contacts end in others by a request",
        CORE + "claims.py",
        " or is_separated(other, target):",
        ":",
        MERGES + "SeparatedContactsAreMergedByCommandOnly",
    ),
    Bug(
        "a separation does not count for those who took one of the two in",
        CORE + "merging.py",
        "    ids = set(all_ids(other))",
        "    ids = {other.id}",
        "tests/unit/core/test_unmerge.py",
    ),
    Bug(
        "the soft target ends in the hard match although they were separated",
        CORE + "target.py",
        "        and not is_separated(soft, hard)\n",
        "",
        "tests/unit/core/test_target.py",
    ),
    Bug(
        "a device finds a known contact",
        CORE + "keys.py",
        "    if level_of(owner) is not Level.ANONYMOUS:",
        "    if level_of(owner) is Level.HARD:",
        PRIVACY + "NoAnswerShowsChatsOfKnownPeopleToOthers",
    ),
    Bug(
        "whoever came back by an unmerge is anonymous again",
        CORE + "unmerge.py",
        "replace(restored, known=True, ",
        "replace(restored, ",
        PRIVACY + "NoAnswerShowsChatsOfKnownPeopleToOthers",
    ),
    Bug(
        "a contact is known only as long as it has the value",
        CORE + "attributes.py",
        "        known=target.known or bool(gained),\n",
        "        known=target.known,\n",
        PRIVACY + "NoAnswerShowsChatsOfKnownPeopleToOthers",
    ),
    Bug(
        "a warning names the other contact",
        CORE + "claims.py",
        "belongs to another contact and was not taken from it",
        "belongs to {claim.key.owner.id if claim.key.owner else None}",
        PRIVACY + "NoAnswerHasDataOfAnotherContact",
    ),
    Bug(
        "an explanation names the contact that had the value",
        CORE + "explain.py",
        "level=None if owner is None else level_of(owner), outcome=outcome, why=why",
        "level=None if owner is None else level_of(owner), outcome=outcome, why=f'{why} {owner and owner.id}'",
        PRIVACY + "NoAnswerHasDataOfAnotherContact",
    ),
    Bug(
        "an agent logs what it decides",
        "airy_identify/stream/agents/identity.py",
        "        command = decode_log_value(record.value)\n",
        "        command = decode_log_value(record.value)\n"
        '        __import__("logging").getLogger().warning("decided %s", command)\n',
        PRIVACY + "NoAnswerHasDataOfAnotherContact",
    ),
    Bug(
        "the journal of a forgotten contact stays",
        CORE + "forget.py",
        "    writes += [(key, None) for key in journal_keys(table, command.tenant, contact.id, contact.merge_count)]\n",
        "",
        PRIVACY + "WhatIsForgottenIsNowhere",
    ),
    Bug(
        "the first conversation of a forgotten contact keeps its last message",
        "airy_identify/stream/agents/identity.py",
        "in decided.forgotten:",
        "in decided.forgotten[1:]:",
        PRIVACY + "WhatIsForgottenIsNowhere",
    ),
    Bug(
        "others stay separated from a forgotten contact",
        CORE + "forget.py",
        "    writes += _reconcile(contact, table, command.tenant)\n",
        "",
        "tests/unit/core/test_contact_commands.py::test_whoever_was_separated_from_a_forgotten_contact_is_so_no_longer",
    ),
    Bug(
        "a late message revives a forgotten conversation",
        CORE + "conversation.py",
        "    if isinstance(row, Forgotten):\n        return None\n    if row is None:",
        "    if row is None or isinstance(row, Forgotten):",
        PRIVACY + "WhatIsForgottenIsNowhere",
    ),
    Bug(
        "the soft target never ends in the one hard match",
        CORE + "target.py",
        "        if len(hard) == 1 and",
        "        if len(hard) > 1 and",
        ORDER,
    ),
    Bug(
        "nobody is promoted",
        CORE + "target.py",
        "        if level_of(match.contact) is not Level.HARD and not contradicts(match.contact, command):",
        "        if level_of(match.contact) is Level.HARD and not contradicts(match.contact, command):",
        MODEL,
    ),
    Bug(
        "whoever is matched by phone number never ends in others",
        CORE + "claims.py",
        "    return match.by_email or email is None or verified_email(target) in {None, email}",
        "    return match.by_email",
        ORDER,
    ),
    Bug(
        "a soft contact changes its e-mail through its phone number",
        CORE + "target.py",
        "    return owner.email.verified and command.email.verified and owner.email.value != command.email.value",
        "    return False",
        MODEL,
    ),
    Bug(
        "an unverified e-mail contradicts",
        CORE + "target.py",
        "    return owner.email.verified and command.email.verified and",
        "    return command.email.verified and",
        MODEL,
    ),
    Bug(
        "a dry run writes",
        CORE + "identify.py",
        "    writes = () if command.dry_run else _writes(command, person, offset)",
        "    writes = _writes(command, person, offset)",
        MODEL,
    ),
    Bug(
        "custom values drop out although the request names them",
        CORE + "custom_kinds.py",
        "        if excess > 0 and value not in keep:",
        "        if excess > 0:",
        MODEL,
    ),
    Bug(
        "the other's unverified e-mail survives a merge",
        CORE + "merging.py",
        "    if others is None or not others.verified or (mine is not None and mine.verified):",
        "    if others is None or (mine is not None and mine.verified):",
        MODEL,
    ),
    Bug(
        "metadata that was changed since leaves with an unmerge",
        CORE + "parting.py",
        "    if same_json(now, brought):\n",
        "    if type(now) is type(brought):\n",
        MODEL,
    ),
    Bug(
        "a tenant gets a token for a conversation on another channel",
        CORE + "give_token.py",
        "        if wanted not in {",
        "        if not contact.conversations and wanted not in {",
        MODEL,
    ),
    Bug(
        "a merge by command is not bounded",
        CORE + "merging.py",
        "    return merged if _is_within_limits(merged) else None",
        "    return merged",
        LIMITS,
    ),
    Bug(
        "metadata grows without end by patches",
        CORE + "metadata.py",
        "    if merged is metadata or len(canonical_json(merged)) <= METADATA_BYTES_MAX:",
        "    if merged is not None:",
        LIMITS,
    ),
    Bug(
        "a phone number is stored as it matches, not as it was given",
        "airy_identify/wire/fragments.py",
        '"value": phone.value',
        '"value": phone.key',
        "tests/wire/test_rows.py",
    ),
    Bug(
        "leftover rows of a deleted contact are a contact",
        CORE + "airy_view.py",
        "return created_at(airys) is not None and not self._is_known",
        "return not self._is_known",
        AIRY + "test_leftover_rows_are_nobody",
    ),
    Bug(
        "of several contacts of Airy that claim one value the last one found has it",
        CORE + "airy_view.py",
        "if oldest is None or age(airys) < age(oldest):",
        "if oldest is not airys:",
        ROWS + "test_a_value_finds_whom_a_naive_reading_finds",
    ),
    Bug(
        "a claim in Airy takes a value from its owner here",
        CORE + "airy_view.py",
        "        if held is not None:\n            return held\n        if isinstance(key, AliasKey):",
        "        if isinstance(key, ConversationOwnerKey):\n            return held\n        if isinstance(key, AliasKey):",
        AIRY + "test_what_a_contact_of_ours_has_is_not_claimed_by_another_of_airy",
    ),
    Bug(
        "a conversation of somebody here moves with a row of Airy",
        CORE + "airy_view.py",
        "        if self._table.owner(owner_key) is not None:\n            return None\n",
        "",
        AIRY + "test_a_chat_of_somebody_here_does_not_move_with_rows_of_airy",
    ),
    Bug(
        "conversations of other sources are resumed",
        CORE + "airy_view.py",
        "if source == CHAT_PLUGIN and conversation_id not in held",
        "if conversation_id not in held",
        AIRY + "test_a_facebook_conversation_is_not_listed",
    ),
    Bug(
        "claims depend on the order of rows",
        CORE + "airy_facts.py",
        "kept = tuple(sorted(ids)[:CLAIMS_MAX])",
        "kept = tuple(sorted(ids, key=lambda each: each != contact_id)[:CLAIMS_MAX])",
        ROWS + "test_any_order_gives_the_same_tables_and_the_same_answers_later",
    ),
    Bug(
        "the start of a conversation depends on the order of its messages",
        CORE + "airy_contacts.py",
        "isinstance(known, SeenConversation) and _start(known) <= _start(told)",
        "isinstance(known, SeenConversation)",
        ROWS + "test_any_order_gives_the_same_tables_and_the_same_answers_later",
    ),
    Bug(
        "rows that come back to us are news",
        CORE + "airy_contacts.py",
        "    if command.own or created_at(before) is None",
        "    if created_at(before) is None",
        DELETED + "test_what_this_service_deletes_in_airy_is_not_deleted_here",
    ),
    Bug(
        "a merge in Airy is a deletion",
        CORE + "airy_contacts.py",
        "if isinstance(contact, Contact) and AiryView(table, command.tenant).absorber(contact_id) is None:",
        "if isinstance(contact, Contact):",
        DELETED + "test_two_accounts_do_not_become_one_by_a_merge_in_airy",
    ),
    Bug(
        "who was put aside does not come back when Airy's merge shows late",
        CORE + "airy_merges.py",
        "    if put_aside is not None:\n",
        "    if put_aside is not None and False:\n",
        DELETED + "test_a_merge_in_airy_is_no_deletion_whatever_comes_first",
    ),
    Bug(
        "two accounts become one by a merge in Airy",
        CORE + "airy_merges.py",
        "if both_hard or is_separated(source, destination)",
        "if is_separated(source, destination)",
        DELETED + "test_two_accounts_do_not_become_one_by_a_merge_in_airy",
    ),
    Bug(
        "rows of Airy bring together what an unmerge parted",
        CORE + "airy_merges.py",
        "if both_hard or is_separated(source, destination) or is_separated(destination, source):",
        "if both_hard:",
        DELETED + "test_separated_contacts_and_those_too_large_do_not_become_one",
    ),
    Bug(
        "who comes back takes an identifier from somebody else",
        CORE + "airy_merges.py",
        "        if table.owner(key) is not None:\n",
        "        if table.owner(key) is None:\n",
        DELETED + "test_what_somebody_else_has_by_now_is_not_taken_back",
    ),
    Bug(
        "late rows of Airy revive somebody forgotten",
        CORE + "airy_contacts.py",
        "    if isinstance(find_by_id(table, command.tenant, contact_id), Forgotten):",
        "    if find_by_id(table, command.tenant, contact_id) is command:",
        AIRY + "test_what_is_forgotten_here_leaves_nothing_and_is_not_revived_by_airy",
    ),
    Bug(
        "what Airy said of somebody forgotten stays",
        CORE + "erasing.py",
        "    for contact_id in all_ids(contact):\n        drop_facts(table, tenant, contact_id)\n",
        "",
        AIRY + "test_what_is_forgotten_here_leaves_nothing_and_is_not_revived_by_airy",
    ),
    Bug(
        "who was deleted in Airy is never erased",
        CORE + "gone.py",
        "        if row.gone_at_ms + GRACE_MS > now_ms:\n",
        "        if row.gone_at_ms + GRACE_MS > 0:\n",
        DELETED + "test_somebody_deleted_is_erased_a_day_later_and_not_before",
    ),
    Bug(
        "what Airy says later changes the identifiers of a contact of ours",
        CORE + "airy_view.py",
        "            self._table.contact(ContactKey(tenant=self._tenant, contact_id=contact_id)) is not None\n            or ",
        "            ",
        AIRY + "test_what_airy_says_later_of_a_contact_of_ours_changes_nothing_but_names",
    ),
    Bug(
        "a merge in Airy of one conversation's contact moves a whole person",
        CORE + "airy_merges.py",
        "        if found.id == source.id:\n",
        "        if found.id != destination.id:\n",
        DELETED + "test_a_merge_of_what_airy_has_of_an_alias_does_not_speak_for_the_contact",
    ),
)

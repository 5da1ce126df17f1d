"""The planted bugs of contacts out: see `tests.planted_bugs.bugs`."""

from tests.planted_bugs.bugs import CORE, Bug

OUT = CORE + "contacts_out.py"
REPAIR = CORE + "contacts_out_repair.py"
AGENT = "airy_identify/stream/agents/contacts_out.py"
ROWS = "tests/unit/core/test_contacts_out.py::test_"
REPAIRS = "tests/unit/core/test_contacts_out_repair.py::test_"
LAW = "tests/property/test_laws_of_contacts_out.py::test_"

CONTACTS_OUT_BUGS = (
    Bug(
        "an unverified e-mail is shown in Airy as if it were sure",
        OUT,
        "value is not None and value.verified else None",
        "value is not None else None",
        ROWS + "values_that_nobody_vouched_for_are_not_written",
    ),
    Bug(
        "a conversation whose id is no UUID is written, and stops Airy",
        OUT,
        "for each in contact.conversations if is_java_uuid(each.id)]",
        "for each in contact.conversations]",
        ROWS + "ids_that_java_would_write_in_another_way_are_not_written",
    ),
    Bug(
        "a row that is said again has the bytes of the one before, and Airy passes it over",
        OUT,
        "conversation.source, at_ms)\n    return None",
        "conversation.source, conversation.created_at_ms)\n    return None",
        ROWS + "a_row_is_said_again_with_another_time",
    ),
    Bug(
        "what agents wrote of somebody who ended is left over",
        OUT,
        "leaving |= dict.fromkeys((*facts, *(ATTRIBUTES",
        "leaving |= dict.fromkeys((*(), *(ATTRIBUTES",
        ROWS + "who_ended_in_another_loses_every_row_and_what_only_airy_said_goes_on",
    ),
    Bug(
        "a contact from before the setting was on comes to Airy in parts",
        OUT,
        "and (had.get(key) != value or key not in facts)",
        "and had.get(key) != value",
        ROWS + "what_airy_does_not_have_is_written_with_the_first_change",
    ),
    Bug(
        "a name that an agent gave is written over",
        OUT,
        "if fact is not None and not fact.own and fact.text not in names:",
        "if fact is None and fact in names:",
        ROWS + "a_name_that_airy_has_from_somebody_else_stays",
    ),
    Bug(
        "the second contact stays",
        REPAIR,
        "    if is_another or (owner",
        "    if (owner",
        LAW + "airy_ends_with_one_contact_for_each_of_ours",
    ),
    Bug(
        "nothing is said again when the second contact is gone",
        REPAIR,
        "    return missing if again is None else (*missing, again)",
        "    return missing",
        REPAIRS + "the_conversation_of_a_deleted_row_is_said_again",
    ),
    Bug(
        "our own rows lead to rows again",
        REPAIR,
        "    if received.own:\n        return _overtaken",
        "    if received.own and received.fact.text is None:\n        return _overtaken",
        REPAIRS + "rows_of_ours_and_of_contacts_that_only_airy_has_lead_to_nothing",
    ),
    Bug(
        "a name that is too long to be kept is said again for ever",
        REPAIR,
        "    if fact.text is None and fact.at_ms is None:",
        "    if fact is None:",
        LAW + "airy_ends_with_one_contact_for_each_of_ours",
    ),
    Bug(
        "a contact that only Airy had stays when it ends in another",
        AGENT,
        "if isinstance(key, AliasKey) and row is not None and key.contact_id not in changes:",
        "if key is row and isinstance(key, AliasKey):",
        LAW + "airy_ends_so_too_when_people_delete_merge_and_update_there",
    ),
    Bug(
        "which row gave somebody deleted a conversation is forgotten at once",
        "airy_identify/core/gone.py",
        "leave_markers(table, tenant, contact, may_come_back=True)",
        "leave_markers(table, tenant, contact)",
        "tests/unit/core/test_airy_merges_and_deletions.py::"
        "test_which_row_gave_somebody_deleted_a_conversation_is_known_until_that_one_is_erased",
    ),
    Bug(
        "a conversation of somebody put aside is taken for one that Airy has right",
        AGENT,
        "        if table.owner(ConversationOwnerKey(tenant=tenant, conversation_id=each.id)) is None\n",
        "        if is_new or table.owner(ConversationOwnerKey(tenant=tenant, conversation_id=each.id)) is None\n",
        LAW + "what_airy_merged_is_with_the_right_contact_however_far_its_partitions_are_apart",
    ),
    Bug(
        "what is known of somebody is forgotten before Airy is told",
        AGENT,
        "return now or self.facts.get(contact_id, now)",
        "return now",
        LAW + "airy_ends_so_too_when_people_delete_merge_and_update_there",
    ),
    Bug(
        "rows that only pass on what Airy said are marked as ours",
        "airy_identify/wire/contacts_out.py",
        "((OURS, _MARK),) if write.own else ()",
        "((OURS, _MARK),)",
        "tests/wire/test_contacts_out.py::test_what_is_only_passed_on_is_not_marked_as_ours",
    ),
    Bug(
        "tombstones are processed before Airy can have applied them",
        "airy_identify/stream/airy_pace.py",
        "if wait_ms <= 0:",
        "if wait_ms <= APPLIED_AFTER_MS:",
        "tests/unit/stream/test_airy_pace.py::test_the_newest_tombstone_decides",
    ),
)

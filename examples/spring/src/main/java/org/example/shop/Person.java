package org.example.shop;

/**
 * Who has logged in.
 *
 * @param emailVerified whether this person has shown that the address is theirs: an unverified one that is sent as
 *     verified finds the chats of whoever has that address
 */
record Person(String externalId, String email, boolean emailVerified) {}

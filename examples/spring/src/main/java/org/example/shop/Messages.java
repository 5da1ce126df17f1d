package org.example.shop;

import com.fasterxml.jackson.databind.PropertyNamingStrategies.SnakeCaseStrategy;
import com.fasterxml.jackson.databind.annotation.JsonNaming;
import java.util.List;

/** The members of requests and answers that this application uses. Unknown ones of an answer are ignored. */
final class Messages {
    private Messages() {}

    /**
     * @param requestId the same one for every attempt, so that a repetition finds the same contact and conversations
     * @param unverified which of the identifiers have not been verified
     */
    @JsonNaming(SnakeCaseStrategy.class)
    record IdentifyRequest(
            String requestId, String channelId, String externalId, String email, List<String> unverified) {}

    /**
     * An answer or a refusal.
     *
     * @param code set in a refusal only, as are message and field
     * @param conversations the one with the newest message first; there is always one
     */
    @JsonNaming(SnakeCaseStrategy.class)
    record IdentifyResponse(
            String requestId,
            String code,
            String message,
            String field,
            Contact contact,
            List<Conversation> conversations) {}

    @JsonNaming(SnakeCaseStrategy.class)
    record Contact(String id) {}

    @JsonNaming(SnakeCaseStrategy.class)
    record Conversation(String id, String resumeToken) {}
}

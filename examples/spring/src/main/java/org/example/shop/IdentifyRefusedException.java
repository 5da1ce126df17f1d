package org.example.shop;

import org.example.shop.Messages.IdentifyResponse;

/** The service says no. The code tells programs why; to ask again makes no difference. */
class IdentifyRefusedException extends RuntimeException {
    private final String code;

    IdentifyRefusedException(IdentifyResponse answer) {
        super("%s: %s (field %s, request %s)"
                .formatted(answer.code(), answer.message(), answer.field(), answer.requestId()));
        code = answer.code();
    }

    String code() {
        return code;
    }
}

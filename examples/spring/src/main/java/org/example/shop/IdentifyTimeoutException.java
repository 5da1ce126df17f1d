package org.example.shop;

/** Nobody answered. The question may still be answered: to ask again with the same request id is safe. */
class IdentifyTimeoutException extends RuntimeException {
    IdentifyTimeoutException(String requestId, Throwable cause) {
        super("no answer to " + requestId, cause);
    }
}

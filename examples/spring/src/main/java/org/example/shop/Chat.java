package org.example.shop;

import jakarta.servlet.http.HttpSession;
import java.security.Principal;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.http.HttpStatus;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** Gives the page of a customer the token with which the chat widget goes on. */
@RestController
class Chat {
    private static final Logger LOG = LoggerFactory.getLogger(Chat.class);
    private static final String REQUEST_ID = "identify-request-id";

    private final Identify identify;

    Chat(Identify identify) {
        this.identify = identify;
    }

    /** One login is one question: its id stays in the session, whose own id is a secret and would be in logs. */
    @GetMapping("/chat")
    CompletableFuture<ResponseEntity<Map<String, String>>> chat(Principal customer, HttpSession session) {
        var requestId = (String) session.getAttribute(REQUEST_ID);
        if (requestId == null) {
            requestId = "login-" + UUID.randomUUID();
            session.setAttribute(REQUEST_ID, requestId);
        }
        return identify.identify(Customers.named(customer.getName()), requestId)
                .thenApply(answer -> answered(
                        HttpStatus.OK, "resume_token", answer.conversations().get(0).resumeToken()));
    }

    /** Without a token the page shows the widget all the same, with a conversation of its own. */
    @ExceptionHandler
    ResponseEntity<Map<String, String>> refused(IdentifyRefusedException refused) {
        LOG.error("The chat cannot be resumed: {}", refused.getMessage());
        return answered(HttpStatus.BAD_GATEWAY, "code", refused.code());
    }

    @ExceptionHandler
    ResponseEntity<Map<String, String>> late(IdentifyTimeoutException late) {
        LOG.warn("The chat cannot be resumed: {}", late.getMessage());
        return answered(HttpStatus.GATEWAY_TIMEOUT, "code", "timeout");
    }

    private static ResponseEntity<Map<String, String>> answered(HttpStatus status, String name, String value) {
        return ResponseEntity.status(status).body(Map.of(name, value));
    }
}

package org.example.shop;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.example.shop.Messages.IdentifyRequest;
import org.example.shop.Messages.IdentifyResponse;
import org.springframework.boot.ApplicationRunner;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.kafka.config.ConcurrentKafkaListenerContainerFactory;
import org.springframework.kafka.core.ProducerFactory;
import org.springframework.kafka.requestreply.KafkaReplyTimeoutException;
import org.springframework.kafka.requestreply.ReplyingKafkaTemplate;
import org.springframework.stereotype.Service;

/** Asks over Kafka which chats a person has. Any number of questions may be under way. */
@Service
class Identify {
    private final ReplyingKafkaTemplate<String, String, String> questions;
    private final IdentifySettings settings;
    private final ObjectMapper json;

    Identify(ReplyingKafkaTemplate<String, String, String> questions, IdentifySettings settings, ObjectMapper json) {
        this.questions = questions;
        this.settings = settings;
        this.json = json;
    }

    /**
     * Returns the answer about a person; no thread waits for it.
     *
     * @param requestId of the caller's choice, the same one when the caller asks again
     * @return completes with {@link IdentifyRefusedException} or {@link IdentifyTimeoutException} when there is none
     */
    CompletableFuture<IdentifyResponse> identify(Person person, String requestId) {
        List<String> unverified = person.emailVerified() ? List.of() : List.of("email");
        var request = new IdentifyRequest(
                requestId, settings.channelId(), person.externalId(), person.email(), unverified);
        try {
            return ask(requestId, json.writeValueAsString(request), settings.attempts());
        } catch (JsonProcessingException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private CompletableFuture<IdentifyResponse> ask(String requestId, String question, int attemptsLeft) {
        return questions
                .sendAndReceive(new ProducerRecord<>(settings.requestsTopic(), question))
                .thenApply(answer -> read(answer.value()))
                .exceptionallyCompose(failed -> {
                    Throwable cause = failed instanceof CompletionException ? failed.getCause() : failed;
                    if (!(cause instanceof KafkaReplyTimeoutException)) {
                        return CompletableFuture.failedFuture(cause);
                    }
                    return attemptsLeft > 1
                            ? ask(requestId, question, attemptsLeft - 1)
                            : CompletableFuture.failedFuture(new IdentifyTimeoutException(requestId, cause));
                });
    }

    private IdentifyResponse read(String answer) {
        try {
            IdentifyResponse response = json.readValue(answer, IdentifyResponse.class);
            if (response.code() != null) {
                throw new IdentifyRefusedException(response);
            }
            return response;
        } catch (JsonProcessingException noAnswerOfOurs) {
            throw new IllegalStateException(noAnswerOfOurs);
        }
    }

    @Configuration
    static class Template {
        /** Each process has a group of its own, so that it reads every reply and takes those to its own questions. */
        @Bean
        ReplyingKafkaTemplate<String, String, String> questions(
                ProducerFactory<String, String> producers,
                ConcurrentKafkaListenerContainerFactory<String, String> containers,
                IdentifySettings settings) {
            var replies = containers.createContainer(settings.repliesTopic());
            replies.getContainerProperties().setGroupId("shop-" + UUID.randomUUID());
            var template = new ReplyingKafkaTemplate<>(producers, replies);
            template.setSharedReplyTopic(true);
            template.setDefaultReplyTimeout(settings.answeredWithin());
            return template;
        }

        /** A question that is asked before the replies are read would wait in vain. */
        @Bean
        ApplicationRunner repliesAreRead(
                ReplyingKafkaTemplate<String, String, String> questions, IdentifySettings settings) {
            return arguments -> {
                if (!questions.waitForAssignment(Duration.ofMinutes(1))) {
                    throw new IllegalStateException("replies cannot be read from " + settings.repliesTopic());
                }
            };
        }
    }
}

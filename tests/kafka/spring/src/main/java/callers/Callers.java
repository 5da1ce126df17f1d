package callers;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.kafka.config.ConcurrentKafkaListenerContainerFactory;
import org.springframework.kafka.core.ProducerFactory;
import org.springframework.kafka.listener.ConcurrentMessageListenerContainer;
import org.springframework.kafka.requestreply.ReplyingKafkaTemplate;
import org.springframework.kafka.requestreply.RequestReplyFuture;
import org.springframework.kafka.support.TopicPartitionOffset;

/**
 * Two applications with a ReplyingKafkaTemplate each, asking in turns: first both on one reply topic, then each on a
 * partition of its own.
 *
 * <p>The arguments are the number of questions in each mode and the two partitions. Half of the questions are asked,
 * "MODE asked" is printed and a line on standard input waited for; then the other half. Each answer is printed as
 * "MODE answer QUESTION EXTERNAL-ID-OR-ERROR-CODE".
 */
@SpringBootApplication
public class Callers {
    private static final String REQUESTS = System.getenv("IDENTIFY_REQUESTS_TOPIC");
    private static final String RESPONSES = System.getenv("IDENTIFY_RESPONSES_TOPIC");
    private static final String CHANNEL = System.getenv("IDENTIFY_CHANNEL");
    private static final Duration ASSIGNED_WITHIN = Duration.ofSeconds(60);

    /** Spring's 5 s are less than what a killed worker's partitions need to move, so each question says its own. */
    private static final Duration ANSWERED_WITHIN = Duration.ofSeconds(90);

    private final ProducerFactory<String, String> producers;
    private final ConcurrentKafkaListenerContainerFactory<String, String> containers;
    private final ObjectMapper json;
    private final BufferedReader input = new BufferedReader(new InputStreamReader(System.in));

    Callers(
            ProducerFactory<String, String> producers,
            ConcurrentKafkaListenerContainerFactory<String, String> containers,
            ObjectMapper json) {
        this.producers = producers;
        this.containers = containers;
        this.json = json;
    }

    public static void main(String[] arguments) {
        int questions = Integer.parseInt(arguments[0]);
        try (ConfigurableApplicationContext context = SpringApplication.run(Callers.class)) {
            Callers callers = context.getBean(Callers.class);
            callers.ask("shared", questions, List.of(callers.onSharedTopic(), callers.onSharedTopic()));
            callers.ask(
                    "partition",
                    questions,
                    List.of(
                            callers.onPartition(Integer.parseInt(arguments[1])),
                            callers.onPartition(Integer.parseInt(arguments[2]))));
        } catch (Exception failed) {
            failed.printStackTrace();
            System.exit(1); // the threads of the templates would go on
        }
    }

    private ReplyingKafkaTemplate<String, String, String> onSharedTopic() {
        return started(containers.createContainer(RESPONSES));
    }

    private ReplyingKafkaTemplate<String, String, String> onPartition(int partition) {
        return started(containers.createContainer(new TopicPartitionOffset(RESPONSES, partition)));
    }

    private ReplyingKafkaTemplate<String, String, String> started(
            ConcurrentMessageListenerContainer<String, String> replies) {
        replies.getContainerProperties().setGroupId("spring-" + UUID.randomUUID());
        ReplyingKafkaTemplate<String, String, String> template = new ReplyingKafkaTemplate<>(producers, replies);
        template.start();
        return template;
    }

    private void ask(String mode, int count, List<ReplyingKafkaTemplate<String, String, String>> templates)
            throws Exception {
        for (ReplyingKafkaTemplate<String, String, String> template : templates) {
            if (!template.waitForAssignment(ASSIGNED_WITHIN)) {
                throw new IllegalStateException("no partitions were assigned to a reply container");
            }
        }
        List<RequestReplyFuture<String, String, String>> asked = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            if (number == count / 2) {
                asked.get(0).get(); // the callers are in the midst of it
                System.out.println(mode + " asked");
                input.readLine();
            }
            String person = mode + "-" + number;
            String question = json.writeValueAsString(
                    Map.of("channel_id", CHANNEL, "external_id", person, "request_id", "question-" + person));
            String key = number % 3 == 0 ? null : person;
            asked.add(templates.get(number % templates.size())
                    .sendAndReceive(new ProducerRecord<>(REQUESTS, key, question), ANSWERED_WITHIN));
        }
        for (int number = 0; number < count; number++) {
            JsonNode answer = json.readTree(asked.get(number).get().value());
            String who = answer.has("code") ? answer.get("code").asText()
                    : answer.path("contact").path("external_id").asText();
            System.out.println(mode + " answer " + mode + "-" + number + " " + who);
        }
        templates.forEach(ReplyingKafkaTemplate::stop);
        templates.forEach(ReplyingKafkaTemplate::destroy); // they are no beans, so nobody else does it
        System.out.println(mode + " done");
    }
}

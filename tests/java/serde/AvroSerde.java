import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.apicurio.registry.serde.avro.AvroKafkaDeserializer;
import io.apicurio.registry.serde.avro.AvroKafkaSerializer;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;

/**
 * Writes and reads Avro records with Apicurio's serializers for Kafka, framed as Confluent's are.
 *
 * <p>Each line of standard input is a JSON object with "registry" (the address of Apicurio's own API) and "topic", and
 * either "schema" and "value" (in Avro's JSON encoding), to be written, or "data" (hex), to be read. Each line of standard
 * output is what came of it.
 */
public final class AvroSerde {
  private static final ObjectMapper JSON = new ObjectMapper();

  public static void main(String[] arguments) throws Exception {
    var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      System.out.println(JSON.writeValueAsString(answer(JSON.readTree(line))));
      System.out.flush();
    }
  }

  private static Map<String, Object> answer(JsonNode question) throws Exception {
    Map<String, Object> config = new LinkedHashMap<>();
    config.put("apicurio.registry.url", question.get("registry").asText());
    config.put("apicurio.registry.auto-register", true);
    config.put("apicurio.registry.headers.enabled", false);
    config.put("apicurio.registry.id-handler", "io.apicurio.registry.serde.Legacy4ByteIdHandler");
    config.put("apicurio.registry.use-id", "contentId");
    String topic = question.get("topic").asText();
    if (question.has("data")) {
      try (var reader = new AvroKafkaDeserializer<GenericRecord>()) {
        reader.configure(config, false);
        var record = reader.deserialize(topic, HexFormat.of().parseHex(question.get("data").asText()));
        return Map.of("schema", record.getSchema().getFullName(), "value", JSON.readTree(record.toString()));
      }
    }
    Schema schema = new Schema.Parser().parse(question.get("schema").asText());
    var decoder = DecoderFactory.get().jsonDecoder(schema, question.get("value").toString());
    GenericRecord record = new GenericDatumReader<GenericRecord>(schema).read(null, decoder);
    try (var writer = new AvroKafkaSerializer<GenericRecord>()) {
      writer.configure(config, false);
      return Map.of("data", HexFormat.of().formatHex(writer.serialize(topic, record)));
    }
  }
}

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.marcnuri.helm.Helm;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/**
 * Renders and lints a Helm chart.
 *
 * <p>Each line of standard input is a JSON object with "chart" (its directory), and either "values", to be rendered with as
 * the release "identify" in the namespace "airy", or nothing more, to be linted. Each line of standard output has the
 * "manifests", the "messages" of the linter and whether it "failed", or the "error".
 */
public final class RenderChart {
  private static final ObjectMapper JSON = new ObjectMapper();

  public static void main(String[] arguments) throws Exception {
    var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      System.out.println(JSON.writeValueAsString(answer(JSON.readTree(line))));
      System.out.flush();
    }
  }

  private static Map<String, Object> answer(JsonNode question) throws Exception {
    var helm = new Helm(Path.of(question.get("chart").asText()));
    if (!question.has("values")) {
      var linted = helm.lint().strict().call();
      return Map.of("messages", linted.getMessages(), "failed", linted.isFailed());
    }
    Path values = Files.createTempFile("values", ".json");
    try {
      Files.writeString(values, question.get("values").toString());
      var rendering = helm.template().withName("identify").withNamespace("airy").withValuesFile(values);
      return Map.of("manifests", rendering.call());
    } catch (IllegalStateException refused) {
      return Map.of("error", refused.getMessage());
    } finally {
      Files.delete(values);
    }
  }
}

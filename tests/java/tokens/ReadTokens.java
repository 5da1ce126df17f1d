import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.jsonwebtoken.Claims;
import io.jsonwebtoken.Jwts;
import io.jsonwebtoken.SignatureAlgorithm;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.security.Key;
import java.util.Date;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import javax.crypto.spec.SecretKeySpec;
import javax.xml.bind.DatatypeConverter;

/**
 * Reads and makes tokens the way a chat plugin with jjwt 0.11.2 does, so that Airy's own library is asked what it accepts.
 *
 * <p>Each line of standard input is a JSON object with "secret" (as the settings have it), and either "token", to be
 * read, or "claims" with "issued_at_s" and "expires_at_s", to be made. Each line of standard output is what came of it.
 * jjwt takes the time from the machine's clock and allows no skew.
 */
public final class ReadTokens {
  private static final ObjectMapper JSON = new ObjectMapper();

  public static void main(String[] arguments) throws Exception {
    var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      JsonNode question = JSON.readTree(line);
      Map<String, Object> answer = new LinkedHashMap<>();
      try {
        byte[] secret = DatatypeConverter.parseBase64Binary(question.get("secret").asText());
        answer.put("key", HexFormat.of().formatHex(secret));
        Key key = secret.length == 0 ? null : new SecretKeySpec(secret, SignatureAlgorithm.HS256.getJcaName());
        if (question.has("token")) {
          read(question.get("token").asText(), key, answer);
        } else {
          make(question, key, answer);
        }
      } catch (RuntimeException error) { // jjwt's, and what the decoder runs into
        answer.put("refused", error.getClass().getSimpleName());
      }
      System.out.println(JSON.writeValueAsString(answer));
      System.out.flush();
    }
  }

  private static void read(String token, Key key, Map<String, Object> answer) {
    var parsed = Jwts.parserBuilder().setSigningKey(key).build().parseClaimsJws(token);
    Claims claims = parsed.getBody();
    answer.put("header", parsed.getHeader());
    answer.put("subject", claims.getSubject());
    answer.put("issued_at_s", claims.getIssuedAt().getTime() / 1000);
    answer.put("expires_at_s", claims.getExpiration().getTime() / 1000);
    answer.put("conversation_id", claims.get("resume_conversation_id", String.class));
    answer.put("channel_id", claims.get("resume_channel_id", String.class));
  }

  private static void make(JsonNode question, Key key, Map<String, Object> answer) {
    Map<String, Object> claims = new LinkedHashMap<>();
    question.get("claims").fields().forEachRemaining(claim -> claims.put(claim.getKey(), claim.getValue().asText()));
    answer.put(
        "token",
        Jwts.builder()
            .setSubject(question.get("subject").asText())
            .setIssuedAt(new Date(question.get("issued_at_s").asLong() * 1000))
            .addClaims(claims)
            .signWith(key, SignatureAlgorithm.HS256)
            .setExpiration(new Date(question.get("expires_at_s").asLong() * 1000))
            .compact());
  }
}

// Verifies webhooks as their receivers do, with the Maven package standardwebhooks.
// Reads a case a line: secret, id, time stamp, signatures and body in base64, apart
// by tabs. Prints a list of true and false.

import com.standardwebhooks.Webhook;
import com.standardwebhooks.exceptions.WebhookVerificationException;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.http.HttpHeaders;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;

public class Verify {
    public static void main(String[] args) throws Exception {
        List<Boolean> out = new ArrayList<>();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null;) {
            String[] p = line.split("\t", -1);
            HttpHeaders headers = HttpHeaders.of(
                Map.of("webhook-id", List.of(p[1]), "webhook-timestamp", List.of(p[2]), "webhook-signature", List.of(p[3])), (a, b) -> true);
            try {
                new Webhook(p[0]).verify(new String(Base64.getDecoder().decode(p[4]), StandardCharsets.UTF_8), headers);
                out.add(true);
            } catch (WebhookVerificationException e) {
                out.add(false);
            }
        }
        System.out.println(out);
    }
}

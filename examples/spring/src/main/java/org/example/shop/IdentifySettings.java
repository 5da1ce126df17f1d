package org.example.shop;

import java.time.Duration;
import org.springframework.boot.context.properties.ConfigurationProperties;

/** Where to ask, which chat channel for, and how long to wait: `identify.*` in application.properties. */
@ConfigurationProperties("identify")
record IdentifySettings(
        String requestsTopic, String repliesTopic, String channelId, Duration answeredWithin, int attempts) {}

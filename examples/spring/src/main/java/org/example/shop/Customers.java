package org.example.shop;

import java.util.Map;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.http.HttpStatus;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.core.userdetails.User;
import org.springframework.security.core.userdetails.UserDetails;
import org.springframework.security.core.userdetails.UserDetailsService;
import org.springframework.security.provisioning.InMemoryUserDetailsManager;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.security.web.authentication.HttpStatusEntryPoint;

/** Who can log in, and what the shop knows about them. Yours come from a database; these two are for trying it out. */
@Configuration
class Customers {
    private static final Map<String, Person> PERSONS = Map.of(
            "ada", new Person("user-1", "ada@example.org", true),
            "grace", new Person("user-2", "grace@example.org", false));

    static Person named(String name) {
        return PERSONS.get(name);
    }

    @Bean
    UserDetailsService accounts() {
        var all = PERSONS.keySet().stream()
                .map(name -> User.withUsername(name).password("{noop}secret").roles("CUSTOMER").build())
                .toArray(UserDetails[]::new);
        return new InMemoryUserDetailsManager(all);
    }

    /** Everybody sees the shop; its chat token is for those who have logged in. */
    @Bean
    SecurityFilterChain security(HttpSecurity http) throws Exception {
        return http.authorizeHttpRequests(
                        paths -> paths.requestMatchers("/chat").authenticated().anyRequest().permitAll())
                .formLogin(form -> form.defaultSuccessUrl("/", true))
                .exceptionHandling(handling -> handling.defaultAuthenticationEntryPointFor(
                        new HttpStatusEntryPoint(HttpStatus.UNAUTHORIZED), path -> path.getServletPath().equals("/chat")))
                .build();
    }
}

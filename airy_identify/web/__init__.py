"""The HTTP bridge: routes, authentication, replies."""

"""One request becomes one validated, normalised command; used by the agent and by the bridge."""

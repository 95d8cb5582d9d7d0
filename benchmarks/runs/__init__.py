"""Makes a run: prepares, trains and evaluates a model as a spec says, and records the result."""

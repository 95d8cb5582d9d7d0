"""What is measured: datasets, tasks, and `run(spec) -> record`."""

"""One training: a spec becomes prepared data, a model, a trainer, a journal, and a record."""

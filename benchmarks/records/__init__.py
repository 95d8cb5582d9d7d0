"""Everything that is stored on disk: one definition of each format, for writers and readers."""

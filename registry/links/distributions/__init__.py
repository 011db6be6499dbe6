"""Places that serve a version, and whether they still do."""

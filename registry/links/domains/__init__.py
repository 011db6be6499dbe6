"""Registrable domains behind links: the census by DNS, their registries, and those that changed hands."""

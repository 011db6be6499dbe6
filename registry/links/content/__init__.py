"""What the content of links is, compared by hashes alone, where a maintainer turned it on. Content itself is never kept."""

"""API: how the links of a version stand, all together and one by one, the hosts they lead to, and what a maintainer does."""

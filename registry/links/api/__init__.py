"""API: how the links of a version stand, the hosts they lead to, and what a maintainer does about them."""

"""What reports and cases mean for links, and what checks of links say to those who decide.

`exclusion` and `priorities` answer hooks of `registry`, which checks links: which are never contacted, and which come
first. `selectors` tells how the links of a case's items stand.
"""

"""Links: is what a version's rows point to still there? Asked in the background, politely, and told honestly.

1. `panel` draws the rows of a version that are asked after: a sample by keyed hash, the same rows in the next version.
2. `schedule` hands out batches of due links, grouped by host, under a lease in the database.
3. `checker` asks a batch, each host in a turn of its own (`turns`): one request at a time and at least a second apart,
   after its `robots.txt` (`robots`), and never for an excluded link (`exclusion`) or after it opted out (`last_look`).
4. `outcomes` names what one attempt saw, and `states` what that makes of the link, which takes several attempts.
5. `estimates` says what the sample means for the whole version, with its interval and its bounds.

Only headers are asked for, unless the maintainer of a dataset turned the reading of content on: then `content.reading`
asks for it, and `content.states` tells by hashes whether it is what it was. No content is ever kept. `domains` asks name
servers for the domains behind the links, and `distributions` watches where versions are served. `docs/design/links.md`
has the reasons.
"""

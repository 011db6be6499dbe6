"""Reports of our own: nobody sent them, our checks found what they say.

Dead or replaced links of a version become one when a member confirms a preview (`selectors`, `services`); domains that
changed hands do by themselves (`domains`). Its case then goes the way of every other.
"""

"""Services that a sweep speaks to: databases by URL, and waits for those that do not answer.

    databases  find out whether two URLs name one database, and whose it is
    waiting    tell the user what a command waits for

Imported by config, plan, search, tracking and prepare; imports none of them.
"""

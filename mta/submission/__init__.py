"""The classic programs: sendmail, mailq and newaliases. They start in milliseconds, need nobody.

They are run anew for each message, by anybody, with any arguments: nothing here is imported that
the case in hand does not need, and nothing here has more power than its caller.
"""

"""The queue manager: decides what is delivered when, by whom, and what becomes of it.

__main__      what it may touch, who may speak to it, its life
lock          one queue manager a queue
recovery      the scan: what the queue directories hold
scheduler     the order: due times, backoff (pure)
ages          how old a message is, whatever becomes of the clock (pure)
manager       the loop: what is due is attempted, at most so many at once
message       one message during one attempt: who is left, what to record, whom to tell (pure)
delivery      routes and requests: recipients -> outcomes
transport     one row that delivers: its requests, and what their answers teach
destinations  whose turn it is, how many at once, who is left alone (pure)
reporting     what the sender is told
"""

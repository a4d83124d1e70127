"""The API's limits and times, apart from what needs FastAPI: ``headway doctor`` prints them."""

BODY_S = 20.0  # a body must have come by then
MOST = 200  # of anything on one page
FAMILY_MOST = 1_000  # members from which the state of a family of Celery tasks is worked out

# The store
THREADS = 4  # that work on it
WAITING = 100  # calls that wait for one of them; beyond, clients are told to come again
ANSWER_S = 10.0  # the longest that a client waits for it

# Tokens
FAILURES = 10  # of one address, with tokens that do not hold, in
FAILURES_S = 60.0
ADDRESSES = 10_000  # remembered for that; the oldest go first
HELD = 1_000  # tokens that held a while ago, which an address's failures do not lock out
OPEN_S = 0.5  # how long it is believed that the store has no token

# Streams
LOOK_S = 0.25  # how often a journal is looked at for more
ALLOWED_S = 1.0  # how often it is asked whether the reader still may
PING_S = 15.0  # after so much silence a stream says that it is there
SEND_S = 30.0  # a reader that takes nothing for so long is left
STREAMS = 200  # at once
EVENTS = 500  # read from the store at once
RETRY_MS = 2_000  # what a client is told to wait before it comes again

# Connections
LEAVE_S = 2  # for requests in hand, and streams, when the server is told to leave
HEAD_S = 10.0  # the head of a request must have come by then
KEEP_S = 15  # an idle connection is kept for so long
BACKLOG = 512
CONNECTIONS = 1_000  # beyond, they are told to come again

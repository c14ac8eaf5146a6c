"""Customer.io's published limits.

Sources: the references of the Track API (https://docs.customer.io/files/journeys-track.json) and
the App API (https://docs.customer.io/files/journeys-app.json), and the page on invalid requests
(https://docs.customer.io/journeys/invalid-api-requests). They say "kb" without saying whether it
is 1000 or 1024 bytes; the smaller reading is taken for Track, so that what fits here fits there.
"""

# Bytes of UTF-8.
PERSON_ID = 150
ATTRIBUTE_NAME = 150
ATTRIBUTE_VALUE = 1000
EVENT_NAME = 100
EVENT_DATA = 100_000  # v1 only: v2 limits the whole operation instead
OPERATION = 32_000
BATCH = 500_000
APP_REQUEST = 2048 * 1024
ATTACHMENTS = 2_000_000  # of base64 text, over all attachments of a message

# Counts.
ATTRIBUTES = 300  # of a person, and of one identify
RECIPIENTS = 15  # over to, cc and bcc

# Seconds.
SEND_AHEAD = 90 * 86_400
ANONYMOUS_KEPT = 30 * 86_400
ANONYMOUS_JOIN = 300  # how long after an identify late anonymous events still find their person

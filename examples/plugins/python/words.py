"""A plugin without any SDK: it refuses statements in which a forbidden word stands, and counts them.

The words are in FORBIDDEN, with commas between them. `serving.py` beside it is the part that
every plugin in Python needs.
"""

import os

from serving import Plugin, log, serve, terminate

FORBIDDEN = os.environ.get("FORBIDDEN", "truncate").lower().split(",")
ON_TRAFFIC_FROM_CLIENT = 16

refused = 0


def statement_in(request: bytes) -> str:
    """The SQL of a Query, or of a Parse, which has the name of the statement before it."""
    if len(request) < 5 or request[:1] not in (b"Q", b"P"):
        return ""
    texts = request[5:].split(b"\0")
    text = texts[1] if request[:1] == b"P" and len(texts) > 1 else texts[0]
    return text.decode("utf-8", "replace")


def on_traffic_from_client(params):
    """Is given whole messages; only the first one is a statement."""
    global refused
    statement = statement_in(params.fields["request"].bytes_value).lower()
    word = next((word for word in FORBIDDEN if word in statement), None)
    if word is not None:
        refused += 1
        log("warn", "refused a statement", word=word)
        terminate(params)
    return params


def metrics() -> str:
    """What stands on the gateway's page of metrics, with the label plugin."""
    return (
        "# HELP words_refused_total Statements refused because of a word.\n"
        "# TYPE words_refused_total counter\n"
        f"words_refused_total {refused}\n"
    )


serve(
    Plugin(
        name="words-python",
        version="0.1.0",
        description="Refuses statements with a forbidden word",
        hooks={ON_TRAFFIC_FROM_CLIENT: ("OnTrafficFromClient", on_traffic_from_client)},
        metrics=metrics,
    )
)

"""Checks the signature of a webhook by the Standard Webhooks specification, with Python's own hmac.

Reads {"secret", "id", "timestamp", "signature", "body"} as JSON from standard input; prints `good` or `bad`.
"""

import base64
import hashlib
import hmac
import json
import sys

message = json.load(sys.stdin)
secret = base64.b64decode(message["secret"].removeprefix("whsec_"))
signed = f'{message["id"]}.{message["timestamp"]}.{message["body"]}'
expected = base64.b64encode(hmac.new(secret, signed.encode(), hashlib.sha256).digest()).decode()
signatures = [part.split(",", 1) for part in message["signature"].split(" ")]
good = any(version == "v1" and hmac.compare_digest(value, expected) for version, value in signatures)
print("good" if good else "bad")

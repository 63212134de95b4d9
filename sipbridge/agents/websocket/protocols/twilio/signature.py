"""The signature that proves to the agent that the bridge calls it. Twilio's helper libraries check it.

Source: twilio.com/docs/usage/security#validating-requests: base64 of HMAC-SHA1 over the URL, keyed with the account's
auth token. An upgrade is a GET: no parameters follow the URL. Its scheme is `wss` or `ws`, not `https`.
"""

from __future__ import annotations

import base64
import hmac


def sign(url: str, token: str) -> str:
    """Return `X-Twilio-Signature` for a URL as the agent sees it: with the query, without the user."""
    return base64.b64encode(hmac.digest(token.encode(), url.encode(), "sha1")).decode()

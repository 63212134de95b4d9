"""Proof to the agent that the bridge calls it: what Twilio's helper libraries check.

Source: twilio.com/docs/usage/security#validating-requests: base64 of HMAC-SHA1 over the URL, its key the account's auth
token. An upgrade is a GET: no parameters follow the URL. Its scheme is `wss` or `ws`, not `https`.
"""

from __future__ import annotations

import base64
import hmac


def sign(url: str, token: str) -> str:
    """Return `X-Twilio-Signature` for a URL as the agent sees it: with its query, without a user."""
    return base64.b64encode(hmac.digest(token.encode(), url.encode(), "sha1")).decode()

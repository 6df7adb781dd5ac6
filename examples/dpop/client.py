"""Call a model with a key that is worth nothing to a thief: every request carries a proof of this host's own key.

    python client.py new-key mine.jwk                    # prints the public half, for: vallum keys create --bind-jwk
    VALLUM_KEY=vlm_live_... python client.py call mine.jwk https://models.example/api/v1/predict '{"input_text": "hi"}'

Needs: pip install joserfc
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from joserfc import jwt
from joserfc.jwk import ECKey


def make_proof(key: ECKey, method: str, url: str, credential: str | None = None, nonce: str | None = None) -> str:
    """Sign a proof for one request (RFC 9449 4.2); `credential` is the key or token that is sent with it."""
    claims = {"jti": str(uuid4()), "htm": method, "htu": url.partition("?")[0], "iat": int(time.time())}
    if credential is not None:
        claims["ath"] = urlsafe_b64encode(sha256(credential.encode()).digest()).rstrip(b"=").decode()
    if nonce is not None:
        claims["nonce"] = nonce
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    return jwt.encode(header, claims, key)


def call(key: ECKey, url: str, credential: str, body: bytes, nonce: str | None = None) -> tuple[int, bytes]:
    """Send one request with its proof; once more if the gateway hands out a nonce (RFC 9449 9)."""
    headers = {
        "Authorization": f"DPoP {credential}",
        "DPoP": make_proof(key, "POST", url, credential, nonce),
        "Content-Type": "application/json",
    }
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310  the caller names the address
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  the same
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        handed_out = error.headers.get("DPoP-Nonce")
        if error.code == 401 and handed_out is not None and nonce is None:
            return call(key, url, credential, body, handed_out)
        return error.code, error.read()


def main(arguments: list[str]) -> int:
    """Run one of the two commands."""
    match arguments:
        case ["new-key", path]:
            key = ECKey.generate_key("P-256")
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                json.dump(key.as_dict(private=True), file)
            print(json.dumps(key.as_dict(private=False)))
            return 0
        case ["call", path, url, body]:
            key = ECKey.import_key(json.loads(Path(path).read_text()))
            status, answer = call(key, url, os.environ["VALLUM_KEY"], body.encode())
            print(status, answer.decode())
            return 0 if status == 200 else 1
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

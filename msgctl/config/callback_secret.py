"""The form of the secrets that sign callbacks, as Standard Webhooks specifies. A fault never shows the secret."""

import base64
import binascii
from typing import Annotated

from pydantic import AfterValidator, SecretStr

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of every secret, not a secret
SECRET_LENGTHS = range(24, 65)
"""Bytes of a decoded secret."""


def decode_callback_secret(secret: str) -> bytes:
    """Return the key of one secret.

    Raises:
        ValueError: it does not have the form of a secret, or is empty.
    """
    encoded = secret.removeprefix(SECRET_PREFIX)
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if secret.startswith(SECRET_PREFIX) and len(key) in SECRET_LENGTHS:
        return key
    raise ValueError(f"must be whsec_ and base64 of 24 to 64 bytes{_hint(secret, encoded)}")


def _hint(secret: str, encoded: str) -> str:
    """Return what is probably wrong with a secret."""
    if "," in secret:
        return "; delete `v1,` before it, and put a space between two secrets"
    if not secret.startswith(SECRET_PREFIX):
        return "; this one does not begin with whsec_"
    if set("-_") & set(encoded):
        return "; this one is in the URL-safe alphabet: write + for - and / for _"
    return "; this one lacks = at its end" if len(encoded.rstrip("=")) % 4 and len(encoded) % 4 else ""


def _check_secrets(secrets: SecretStr) -> SecretStr:
    """Return the setting `callback.secret`: nothing, or secrets with spaces between them.

    Raises:
        ValueError: one of them has another form.
    """
    for secret in secrets.get_secret_value().split():
        decode_callback_secret(secret)
    return secrets


CallbackSecrets = Annotated[SecretStr, AfterValidator(_check_secrets)]

"""API keys, from the environment."""

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from wrinkle.errors import WrinkleError
from wrinkle.serving.http.problems import RequestError

VARIABLE = "WRINKLE_API_KEYS"


class Keys:
    """The keys, one of which a request must send as `Authorization: Bearer KEY`; none: no check."""

    def __init__(self, keys: list[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Keys":
        """Read the keys, separated by commas or spaces.

        Raises:
            WrinkleError: the variable is set, but holds no key.
        """
        text = environment.get(VARIABLE)
        keys = [key for key in re.split(r"[,\s]+", text or "") if key]
        if text is not None and not keys:
            raise WrinkleError(f"{VARIABLE} is set but holds no key: give one, or unset it")
        return cls(keys)

    def __bool__(self) -> bool:
        """Whether a key is needed."""
        return bool(self._digests)

    def check(
        self,
        given: Annotated[
            HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))
        ],
    ) -> None:
        """Raise a RequestError, 401, if the key of a request is missing or wrong."""
        digest = _digest(given.credentials if given else "")
        # All are compared, in constant time, so that the time says nothing about the keys.
        if not any([hmac.compare_digest(digest, known) for known in self._digests]):
            what = "is wrong" if given else "is missing"
            raise RequestError(
                401,
                f"the API key {what}: send it as `Authorization: Bearer KEY`",
                {"WWW-Authenticate": "Bearer"},
            )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()

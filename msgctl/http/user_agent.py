"""The `User-Agent` of every request that msgctl makes."""

import re
import sys

from msgctl import __version__


def make_user_agent(version: str) -> str:
    """Return the header of a version of msgctl: two products, as RFC 9110 §10.1.5 permits.

    n8n's option "Ignore Bots" refuses a single product such as `msgctl/1.2.3`, because its library isbot takes
    each of them for a bot. The OpenAPI description of Meta's Cloud API requires three numbers, permits one more
    product after them, and no comment.
    """
    release = [*re.findall(r"\d+", version), "0", "0", "0"][:3]
    return f"msgctl/{'.'.join(release)} Python/{sys.version_info.major}.{sys.version_info.minor}"


USER_AGENT = make_user_agent(__version__)

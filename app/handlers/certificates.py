"""Which certificates servers are verified with."""

import ssl
from functools import lru_cache


@lru_cache(maxsize=100)
def trusted_certificates(extra_file: str | None, extra_text: str | None = None) -> ssl.SSLContext:
    """Return the system's authorities, and those of a file and of a text (PEM) besides them.

    Equal arguments give the same context, so that connections can be used again. Raises OSError
    or ssl.SSLError for a file that holds no certificates, ssl.SSLError for such a text.
    """
    context = ssl.create_default_context()
    if extra_file is not None:
        context.load_verify_locations(cafile=extra_file)
    if extra_text is not None:
        try:
            context.load_verify_locations(cadata=extra_text)
        except (ValueError, UnicodeError) as error:
            raise ssl.SSLError(str(error)) from None
    return context

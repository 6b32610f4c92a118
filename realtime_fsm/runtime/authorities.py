"""Check the file in ``SSL_CERT_FILE``: OpenSSL ignores a file that is missing, or that holds no certificate."""

from __future__ import annotations

import os
import ssl

_VARIABLE = ssl.get_default_verify_paths().openssl_cafile_env


def cert_file_problem() -> str:
    """Tell why the file in ``SSL_CERT_FILE`` names no authority; return an empty text where it does, or where none is set."""
    path = os.environ.get(_VARIABLE)
    if not path:
        return ""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return f"{_VARIABLE}={path} holds no certificate"
    except OSError as failure:
        return f"{_VARIABLE}={path} cannot be read: {failure.strerror}"
    return ""

"""Where a server listens: who may reach it, with which key, and until when."""

import ipaddress
import os
from pathlib import Path
from typing import Any

from presage.errors import UserError

KEY_VARIABLE = "PRESAGE_API_KEY"


def run_until_signalled(server: Any, host: str, port: int, ready: Any) -> None:
    """Serve until SIGTERM or SIGINT, then finish what runs."""
    import asyncio
    import signal

    async def main() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.draining.set)
        await server.run(host, port, ready)

    asyncio.run(main())


def api_key(file: Path | None, option: str = "--api-key-file") -> str | None:
    """The key from `file`, which `option` names, else from the environment; None where there is neither.

    Raises:
        UserError: the file cannot be read, or the key is empty or not printable.
    """
    if file is None:
        key, where = os.environ.get(KEY_VARIABLE), KEY_VARIABLE
    else:
        where = str(file)
        try:
            key = file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read {option} {file}: {error}") from None
    if key is not None and not (key.isascii() and key.isprintable() and key and " " not in key):
        raise UserError(
            f"{where} holds no key: give printable ASCII without blanks, such as openssl rand -hex 32 makes"
        )
    return key


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""Policies behind a wire: the policy server (`server.py`), openpi's wire that it speaks (`wire.py`), policies behind
somebody else's server (`remote.py`), and the bridge to LeRobot (`lerobot.py`)."""

"""This process's libp2p daemon: connections and streams to other peers."""

from dht.daemon.daemon import Daemon, StreamHandler, open_daemon
from dht.daemon.stream import Stream

__all__ = ["Daemon", "Stream", "StreamHandler", "open_daemon"]

"""How a client reads the hash table without being part of it: it asks a few members what lies under keys.

What they answer is signed by its publishers, so that a member can leave out but not invent."""

from dht.enquiry.desk import Desk
from dht.enquiry.enquirer import Enquirer
from dht.enquiry.messages import ENQUIRY_PROTOCOL

__all__ = ["ENQUIRY_PROTOCOL", "Desk", "Enquirer"]

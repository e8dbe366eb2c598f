"""Numbers that tune the gateway, each with its unit and reason."""

from __future__ import annotations

KEEPALIVE_SECONDS = 10.0
"""Between signs of life on a stream: some clients and proxies give up after 20 s of silence."""

HEAD_SECONDS = 0.5
"""A stream waits so long for its first event before it begins: what fails sooner still gets a status of its own."""

READER_SECONDS = 60.0
"""A client that takes nothing from its stream for so long loses its answer, and others get its places at the nodes."""

BUFFERED_EVENTS = 64
"""Events that lie ready for a client that reads more slowly than the swarm writes."""

BODY_BYTES = 8 * 2**20
"""Longest body of a request: about two million tokens of text, more than any model's context."""

BODY_SECONDS = 60.0
"""For a request's body to arrive: a client that dawdles holds nothing for longer."""

CONCURRENT_REQUESTS = 256
"""Requests under way at once, over all keys: each costs memory here, and more would wait in the swarm's line anyway."""

PROMPTS_AT_ONCE = 4
"""That are made of one key's requests: each may take a core for seconds, and goes on when its client has left."""

RETRY_SECONDS = 10
"""What Retry-After says when nobody knows better: in about that an answer ends, or a block comes back."""

ANSWER_TOKENS = 4096
"""Longest answer where the request names no limit. The nodes reserve room for it, so all that the context leaves would
take room that nobody uses."""

COMPLETION_TOKENS = 16
"""The same for /v1/completions, where OpenAI has set this number."""

SHUTDOWN_SECONDS = 3.0
"""For answers under way to end when the gateway stops."""

IDLE_SECONDS = 30.0
"""Between two requests of a connection, and for a request's headers to arrive."""

BACKLOG = 256
"""Connections that wait to be accepted: a burst of clients that start together."""

MINIMAL_TEMPERATURE = 1e-3
"""Below it the likeliest token is taken: scores divided by less exceed what float32 holds."""

MODEL_NAME_CHARS = 256
"""This and the next bound what one request may hold; all are well above what clients send."""
MESSAGES = 4096
CHOICES = 16
STOP_STRINGS = 16
STOP_CHARS = 256
BIASED_TOKENS = 1024
TOOLS = 128
TOP_LOGPROBS = 20
PROMPTS = 64
"""Of one /v1/completions request; evaluation harnesses send 1 to 32."""

LOOK_SECONDS = 10.0
"""Between two looks at which models the swarm has, where the gateway serves whatever there is."""

LOADED_MODELS = 4
"""Models whose embeddings and heads are in memory at once: each takes a gigabyte or two of a large model."""

LINGER_SECONDS = 10.0
"""For which a model stays loaded after somebody asked for it: a prompt may still be in the making."""

REFUSAL_SECONDS = 300.0
"""For which a model is not tried again whose files could not be had."""

PICTURE_SECONDS = 1.0
"""Between two readings of a swarm that somebody watches, however many watch it; nodes announce what changes within a
second or two."""

PICTURE_READING_SECONDS = 10.0
"""For one reading of the directory."""

VIEWERS = 64
"""Who may watch a swarm at once: each holds a connection for hours."""

PICTURE_NODES = 512
"""Nodes that a picture holds at most; more would be narrower than a pixel each."""

JOIN_PEERS = 2
"""Nodes that a command to join names: one of them may be gone when somebody types it."""

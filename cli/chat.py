"""``swarm chat``: a conversation."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from cli import options
from cli.prompt import whole
from cli.stderr import complain, reported, tell
from routing.errors import SwarmError, UsageError

if TYPE_CHECKING:
    from cli.chat_lines import Lines
    from cli.conversation import Conversation

HELP = """\
/retry         another answer to the last message
/forget        begin anew; what the system says stays
/system TEXT   how the model should behave from now on; without TEXT, as it does by itself
/exit          end the chat, as exit, quit and Ctrl-D do
Alt-Enter begins a new line in a message, Ctrl-C ends an answer; Up brings back earlier messages."""

_COMMAND = re.compile(r"/([a-z]+)(?:\s+(.*))?", re.DOTALL)


def chat(
    model: options.ModelOrOnly = None,
    initial_peers: options.InitialPeers = None,
    system: options.System = None,
    stop: options.Stop = None,
    max_new_tokens: options.MaxNewTokens = 512,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    min_p: options.MinP = None,
    repetition_penalty: options.RepetitionPenalty = None,
    seed: options.Seed = None,
    dtype: options.DtypeOption = options.Dtype.auto,
    wire_dtype: options.WireDtypeOption = options.WireDtype.auto,
    draft_model: options.DraftModel = None,
    device: options.Device = "cpu",
    threads: options.Threads = None,
    timeout: options.Timeout = 60.0,
    revision: options.Revision = None,
    debug: options.Debug = False,
) -> None:
    """Talk with a model that a swarm serves: /help there tells how. Ctrl-C ends an answer, Ctrl-D the chat.

    Tokens are drawn as the model's own configuration says, or at temperature 0.7 where it says nothing.
    """
    with reported(debug):
        peers = options.required_peers(initial_peers)

        from cli.early import joining_early
        from cli.imports import lean_imports

        with joining_early(model, peers, timeout, wire_dtype.value) as bridge:
            with lean_imports():
                import torch

                from cli.chat_lines import chat_lines
                from cli.conversation import Conversation
                from cli.generation import joined
                from cli.model_choice import chosen_source
                from cli.prompt import ends_of
                from cli.sampling import Sampling
                from swarm_node.text import chat_prompt

            if threads is not None:
                torch.set_num_threads(threads)
            source = chosen_source(model, revision, peers)
            tokenizer = source.tokenizer()
            if tokenizer is None or not tokenizer.chat_template:
                raise UsageError(f"{source.name} has no chat template; use swarm generate")
            told = [{"role": "system", "content": whole(system, "--system")}] if system else []
            chat_prompt(tokenizer, [*told, {"role": "user", "content": "Hello"}])  # refused before the swarm is joined
            sampling = Sampling(
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                top_p=top_p,
                top_k=top_k,
                min_p=min_p,
                repetition_penalty=repetition_penalty,
                seed=seed,
            ).for_chat(source.generation_config)
            with (
                joined(
                    source, peers, dtype.value, timeout, wire_dtype.value, draft_model, device, bridge
                ) as swarm_model,
                chat_lines() as lines,
            ):
                sampling.plant()
                conversation = Conversation(
                    swarm_model,
                    tokenizer,
                    sampling,
                    stop=options.stops_of(stop),
                    ends=ends_of(source, tokenizer, chat=True),
                    context_length=source.context_length,
                )
                conversation.system = system
                if lines.interactive:
                    tell(f"{source.name} is at the other end. /help tells what can be typed.")
                converse(conversation, lines, lambda: swarm_model.bridge.running)


def converse(conversation: Conversation, lines: Lines, connected: Callable[[], bool]) -> None:
    """Answer message after message. Where somebody sits there, what goes wrong with one does not end the chat.

    ``connected`` tells whether another message can be answered at all.
    """
    while (message := lines.ask()) is not None:
        try:
            message = whole(message, "the message")
            if lines.interactive and message in ("exit", "quit", "/exit", "/quit"):
                return
            if lines.interactive and (command := _COMMAND.fullmatch(message)):
                if not obey(conversation, command[1], command[2] or ""):
                    continue
            else:
                conversation.say(message)
            conversation.answer(lines.agrees)
        except KeyboardInterrupt:
            if not lines.interactive:
                raise
            tell("Stopped. /retry answers again.")
        except SwarmError as error:
            if not lines.interactive or not connected():
                raise
            complain(error)


def obey(conversation: Conversation, command: str, text: str) -> bool:
    """Do what ``/command text`` says; returns whether the last message is to be answered. Raises UsageError."""
    match command:
        case "help":
            tell(HELP)
        case "retry":
            if not conversation.take_back():
                raise UsageError("nothing was said that could be answered again")
            return True
        case "forget":
            conversation.forget()
            tell("Forgotten.")
        case "system":
            conversation.system = text.strip() or None
        case _:
            raise UsageError(f"there is no /{command}; /help tells what there is")
    return False

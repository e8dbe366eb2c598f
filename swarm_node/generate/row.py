"""One text of a batch: its tokens so far, what chooses the next one, and how many of them its session holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import LogitsProcessorList, StoppingCriteriaList

from routing import Hop
from routing.errors import UsageError
from swarm_node.client import Session
from swarm_node.generate.guesses import Guesser
from swarm_node.generate.model import SwarmModel
from swarm_node.generate.request import Request, Token
from swarm_node.generate.settings import PROMPT_LOGITS_TOKENS
from swarm_node.model import longest_alike


@dataclass(frozen=True, slots=True)
class Rules:
    """By what a text's tokens are chosen, and when it ends: made by transformers' generate from its arguments."""

    processors: LogitsProcessorList
    criteria: StoppingCriteriaList
    ends: frozenset[int]
    draws: bool
    max_length: int

    @classmethod
    def of(cls, model: SwarmModel, request: Request) -> Rules:
        """Raises UsageError for arguments that generate does not take, or that ask for more than one text."""
        found: dict[str, Any] = {}

        def keep(_model: SwarmModel, input_ids: torch.Tensor, **given: Any) -> torch.Tensor:
            found.update(given)
            return input_ids

        prompt = torch.tensor([list(request.prompt)], device=model.device)
        pad = model.generation_config.pad_token_id
        try:
            model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=request.max_new_tokens,
                logits_processor=LogitsProcessorList(request.processors),
                custom_generate=keep,
                **{"pad_token_id": 0 if pad is None else pad, **request.options},
            )
        except (ValueError, TypeError) as error:
            raise UsageError(str(error).strip().splitlines()[0]) from error
        config = found["generation_config"]
        if (config.num_beams or 1) > 1 or (config.num_return_sequences or 1) > 1:
            raise UsageError("a batch takes no beams and one text a request; ask for each text on its own")
        eos = config._eos_token_tensor
        return cls(
            processors=found["logits_processor"],
            criteria=found["stopping_criteria"],
            ends=frozenset([] if eos is None else eos.tolist()),
            draws=bool(config.do_sample),
            max_length=config.max_length,
        )


class Row:
    """A request on its way. One thread at a time works on it; others withdraw its session, in the client's loop."""

    def __init__(self, request: Request, rules: Rules, session: Session, model: SwarmModel) -> None:
        self.session = session
        self.held = 0
        """Tokens that the session holds, all of them of the text."""
        self.ended: Literal["stop", "length"] | None = None
        self.left = False
        """Whether nobody waits for it any more."""
        self.cached_tokens = 0
        self.route: tuple[Hop, ...] = ()
        self.rounds = 0
        self.prompt_tokens: list[Token | None] = [None] if request.prompt_logprobs else []
        self._request = request
        self._rules = rules
        self._prompt = len(request.prompt)
        self._length = self._prompt
        self._text = torch.empty(1, rules.max_length, dtype=torch.long, device=model.device)
        self._text[0, : self._prompt] = torch.tensor(list(request.prompt))
        self._guesses: list[int] = []
        self._random = torch.Generator(model.device)
        if request.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(request.seed)
        self._guesser: Guesser | None = None
        if model.speculate:
            draft = model.new_draft()
            self._guesser = Guesser(self._token_seconds, rules.max_length, rules.ends, longest_alike(model), draft)

    @property
    def plain(self) -> bool:
        """Whether its next token is just the likeliest."""
        return not self._rules.draws and not self._rules.processors and self._request.top_logprobs is None

    @property
    def guessed(self) -> int:
        return len(self._guesses)

    def guess(self, rows: int) -> None:
        """Think of what may come next, for a step that ``rows`` rows wait for."""
        self._guesses = []
        if self._guesser is None:
            return
        self._guesser.rows = rows
        text = self._so_far()
        candidates, _ = self._guesser.get_candidates(text)
        self._guesses = candidates[0, self._length :].tolist()

    def guesses_in_step(self, count: int) -> None:
        """So many guesses, of all rows, are in the step that this one's are in."""
        if self._guesser is not None:
            self._guesser.verified = count

    def unsent(self) -> list[int]:
        """What the next step brings to the session: tokens of the text, and guesses after them."""
        end = self._length
        if self._request.prompt_logprobs:
            end = min(end, self.held + PROMPT_LOGITS_TOKENS)
        sent: list[int] = self._text[0, self.held : end].tolist()
        return sent if end < self._length else sent + self._guesses

    def wanted(self, sent: int) -> int:
        """After how many tokens at the end of the ``sent`` ones logits are wanted."""
        return sent if self._request.prompt_logprobs and self.held < self._prompt else 1 + self.guessed

    def take(self, sent: Sequence[int], logits: torch.Tensor, likeliest: Sequence[int]) -> list[Token]:
        """The tokens that come of a step with ``sent``; none while the prompt is under way.

        ``logits`` [wanted, vocabulary], and the ``likeliest`` token of each where the row is plain.
        """
        chain = self.session.chain
        if chain is not None:
            if not self.rounds:
                self.cached_tokens = min(chain.held_tokens, self._prompt)
            self.route = chain.hops
        self.rounds += 1
        if self._request.prompt_logprobs and self.held < self._prompt:
            self._tell_prompt(self.held, logits)
            self.held += len(sent)
            if self.held < self._prompt:
                return []
            logits, likeliest = logits[-1:], likeliest[-1:]
        came: list[Token] = []
        for index in range(len(logits)):
            token = self._next(logits[index : index + 1], likeliest[index] if self.plain else None)
            came.append(token)
            if self.ended or (index < self.guessed and token.id != self._guesses[index]):
                break
        self.held = self._length - 1
        if self._guesser is not None and not self.ended:
            self._guesser.update_candidate_strategy(self._so_far(), logits, len(came) - 1)
        return came

    def _next(self, logits: torch.Tensor, likeliest: int | None) -> Token:
        """Choose a token by ``logits`` [1, vocabulary], and append it."""
        if likeliest is not None:
            token = Token(likeliest)
        else:
            logits = logits.to(copy=True, dtype=torch.float32, device=self._text.device)
            scores = self._rules.processors(self._so_far(), logits.clone() if self._told else logits)
            if self._rules.draws:
                chosen = torch.multinomial(scores.softmax(dim=-1), num_samples=1, generator=self._random)
            else:
                chosen = scores.argmax(dim=-1)
            token = self._with_probabilities(int(chosen), logits[0]) if self._told else Token(int(chosen))
        self._text[0, self._length] = token.id
        self._length += 1
        if token.id in self._rules.ends:
            self.ended = "stop"
        elif bool(self._rules.criteria(self._so_far(), logits).all()):
            self.ended = "length"
        return token

    @property
    def _told(self) -> bool:
        return self._request.top_logprobs is not None

    def _with_probabilities(self, token: int, logits: torch.Tensor) -> Token:
        told = logits.float().log_softmax(dim=-1)
        top = told.topk(min(self._request.top_logprobs or 0, len(told)))
        return Token(token, float(told[token]), tuple(zip(top.indices.tolist(), top.values.tolist(), strict=True)))

    def _tell_prompt(self, start: int, logits: torch.Tensor) -> None:
        """``logits`` after each of the prompt's tokens from ``start``."""
        following = self._text[0, start + 1 : min(start + len(logits), self._prompt - 1) + 1].tolist()
        for token, row in zip(following, logits, strict=False):
            self.prompt_tokens.append(self._with_probabilities(token, row))

    def _so_far(self) -> torch.Tensor:
        """[1, length], a view."""
        return self._text[:, : self._length]

    def _token_seconds(self) -> float:
        return sum(len(hop.span) * hop.node.prefill_seconds for hop in self.route)

"""The wording rules of docs/glossary.md as patterns.

A rule has examples of both sides, which tests/prose/test_rules.py checks: a pattern must flag the wording that this
project used to have and must accept ordinary technical English that looks similar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    PAGE = "page"
    DOCSTRING = "docstring"
    COMMENT = "comment"
    LOG = "log message"
    ERROR = "error text"
    TEST = "test name"


EVERYWHERE = frozenset(Kind)


@dataclass(frozen=True)
class Rule:
    """A pattern, what to write instead, and the kinds of text it applies to."""

    name: str
    pattern: str
    write: str
    flags: tuple[str, ...]
    accepts: tuple[str, ...] = ()
    kinds: frozenset[Kind] = EVERYWHERE
    ignore_case: bool = True
    regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "regex", re.compile(self.pattern, re.IGNORECASE if self.ignore_case else 0))


_UNIT = r"(?:\d[\d,.]*\s?(?:ms|µs|s|MB|KB|kB|%|\w+s)|calls|messages|packets|handoffs|times|time|once|descriptors|legs)"

WORDS = (
    Rule("turn down", r"\bturn(?:s|ed|ing)? (?:\w+ )?down\b", "reject", ("PJSUA turns it down", "a call turned down")),
    Rule(
        "let in",
        r"\b(?:lets?|letting) (?:(?:it|them|a|the|one|more|calls?) ?){0,3}in\b(?! \w+ing)",
        "admit",
        ("a call that is let in", "lets it in"),
        ("let tests in CI pass in time",),
    ),
    Rule("anew", r"\banew\b", "again", ("reads the file anew",)),
    Rule(
        "reading of the configuration",
        r"\breadings?\b(?= of (?:the|a) configuration|s? in use| that is (?:new|latest))|\breadings\b",
        "configuration version",
        ("a reading of the configuration", "the readings that calls use"),
        ("reading the configuration fails",),
    ),
    Rule(
        "a call, a second",
        rf"\b{_UNIT} an? (?:call|second|minute|hour|handoff|tick|frame|pass|client|project)\b",
        "per call, per second",
        ("2 ms a call", "calls a second", "processor time a call", "once a pass"),
        ("what a call costs", "it takes 2 ms per call"),
    ),
    Rule(
        "key (of a telephone)",
        r"\bpress\w* (?:a|the|any|no|that|his|their) keys?\b|\bkeys? (?:that )?(?:a|the) caller\b|\btelephone keys?\b",
        "DTMF digit",
        ("the caller presses a key", "keys that the caller pressed"),
        ("the API key of the project",),
    ),
    Rule(
        "place (for slot)",
        r"\bplaces? among\b|\b(?:free|no more|a call'?s?) places?\b|\b(?:gives?|given|giving) \w+ place back\b",
        "slot",
        ("with its place among max_calls taken", "a free place", "gives its place back"),
        ("one place for a rule",),
    ),
    Rule("room", r"\brooms?\b", "resources, capacity, packages", ("no room for a call",)),
    Rule("lack", r"\black(?:s|ed|ing)?\b", "shortage, without", ("a lack of ports", "it lacks a port")),
    Rule(
        "names (for DNS)",
        r"\b(?:names that hang|known names|names are remembered|looks? up names|the names' cache)\b",
        "resolver, DNS cache, host names",
        ("2,000 names are remembered", "two names that hang"),
    ),
    Rule(
        "gone",
        r"\b(?:is|are|was|were) gone\b",
        "the peer hung up, the leg has ended",
        ("the far end is gone",),
    ),
    Rule(
        "nobody, whoever",
        r"\b(?:nobody|somebody|whoever|anybody|everybody)\b|\bwho (?:comes|asks|asked)\b",
        "the client, the requester, the sender",
        ("nobody knows", "refused to whoever asked", "who comes first"),
    ),
    Rule(
        "where (for if)",
        r"\bwhere (?:there (?:is|are|was)|none\b|no \w+|it has\b|that is so|it cannot|it can be)\b",
        "if, when",
        ("where there is a transcript", "where none is set", "where it cannot be read"),
        ("the folder where the records are",),
    ),
    Rule(
        "is no X",
        r"(?<!there )\b(?:is|are|was|were) no (?!(?:longer|more|less|later|larger|worse|different|need|such)\b)\w+",
        "is not a valid X, is not an X",
        ("a line that is no header", "the token is no string"),
        ("there is no header", "it is no longer used"),
    ),
    Rule(
        "tell",
        r"\b(?:tells?|told|telling)\b",
        "notify, say, report",
        ("the loop is told", "tells the agent"),
    ),
    Rule(
        "hear of",
        r"\b(?:hears?|heard|hearing) (?:of|from|about)\b",
        "be notified of, receive",
        ("until it hears of it",),
    ),
    Rule(
        "lives, heart",
        r"\b(?:lives?|lived) (?:in|on|at|beside)\b|\bbrought to life\b|\bhearts?\b|\blets? go\b|\bletting go\b",
        "runs, is in, core, released, built",
        ("the rule lives in config", "the heart of the bridge", "lets go of it"),
        ("a live call in progress",),
    ),
    Rule("in the place of", r"\bin (?:the )?place of\b", "instead of", ("in the place of each",), ("in place",)),
    Rule(
        "by itself",
        r"\b(?:of|by) (?:itself|themselves|himself)\b",
        "on its own, automatically",
        ("what PJSIP does by itself",),
    ),
    Rule("a word of the code", r"\bwords? of the code\b", "an identifier", ("a word of the code",)),
    Rule(
        "answer (for response)",
        r"\banswer(?:s|ed|ing)?(?: it| them)?(?: with| by)?(?: an?)? [3-6]\d\d\b"
        r"|\b(?:HTTP|CXone(?:'s)?|API(?:'s)?) answer(?:s|ed)?\b|\banswers? of (?:the )?(?:HTTP|CXone|API)\b"
        r"|\b[3-6]\d\d (?:as|is|for) (?:the|an) answer\b",
        "respond, response",
        ("the INVITE is answered 480", "answers with 503", "CXone answered", "the answer of CXone"),
        ("the call is answered", "the SDP answer", "answers 200"),
    ),
    Rule(
        "stands in",
        r"\bstands? (?:in|beside|under|alike|below|above|against|here|there|so)\b",
        "is in, is listed in",
        ("the reason stands in the log", "what stands beside it"),
        ("it stands for a host",),
    ),
    Rule("has it", r"\b(?:as|than) (?:[\w'.]+ ){1,4}has it\b", "as X specifies", ("as RFC 3263 has it",)),
    Rule("judge", r"\bjudg(?:e|es|ed|ing|ements?|ments?)\b", "check, decide", ("each INVITE is judged",)),
    Rule("what comes", r"\bwhat (?:comes|came|goes over)\b", "input, the received …", ("limits on what comes",)),
)

OPENINGS = (
    Rule(
        "docstring opens with a question word",
        r"^(?:What|Who|Where|Which)\b",
        'a noun: "The record of a call."',
        ("What a call is.", "Where records go."),
        ("The record of a call.",),
        frozenset({Kind.DOCSTRING}),
        ignore_case=False,
    ),
    Rule(
        "docstring opens with whether",
        r"^Whether\b",
        '"True if X."',
        ("Whether the call is up.",),
        ("True if the call is in progress.",),
        frozenset({Kind.DOCSTRING}),
        ignore_case=False,
    ),
    Rule(
        "docstring opens in the third person",
        r"^(?:Returns|Makes|Gives|Takes|Reads|Writes|Sends|Asks|Puts|Looks|Waits|Says|Keeps|Raises|Counts|Adds|Sets)\b",
        "the imperative: Return, Read, Send",
        ("Returns the record.", "Reads one header."),
        ("Return the record.",),
        frozenset({Kind.DOCSTRING}),
        ignore_case=False,
    ),
)

LOGS = (
    Rule(
        "log message ends with a full stop",
        r"\.$",
        "a short noun phrase or past-tense clause without a full stop",
        ("inbound TLS handshake failed.",),
        ("inbound TLS handshake failed",),
        frozenset({Kind.LOG}),
    ),
    Rule(
        "log message begins with a capital",
        r"^(?!CXone|Signal\b|Python\b|Studio\b|Redis\b|Content-)[A-Z][a-z]",
        "lower case",
        ("Call ended",),
        ("call ended", "INVITE rejected", "CXone breaker opened"),
        frozenset({Kind.LOG}),
        ignore_case=False,
    ),
)

RULES = (*WORDS, *OPENINGS, *LOGS)
MOST_WORDS = 30

"""`undertow replay`: list dead letters, repair them by a command, send them again.

In: settings, a filter, a command. Out: letters shown, or records back in the source topic. Knows no model, only the
manifest's input contract and preprocessing.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console

from undertow.adapters.kafka_replay import DeadLetter, ReplayNote, read_dead_letters, send_again
from undertow.artifact.format.manifest import Manifest, read_manifest
from undertow.commands.dead_letter_table import letters_for, to_json
from undertow.commands.replay_pipe import mend, parse_command
from undertow.core.errors import WrongUsage
from undertow.core.inputs import build_inputs
from undertow.schemas.decoded import Decode
from undertow.schemas.records import REASONS, Record
from undertow.schemas.times import parse_time
from undertow.schemas.wording import are
from undertow.settings.settings import Settings
from undertow.wiring.observed_source import open_alone

NO_RECORD = frozenset({"bomb", "corrupt"})
"""Reasons of letters whose value is not a producer's record."""
DEADLY = frozenset({"hangs", "kills-replica"})
"""Reasons of letters that killed or hung the replica, and will again unless something has changed."""
OF_WINDOWS = frozenset({"category", "inputs", "not-finite"})
"""Reasons for which a window is refused, also one that an observation has completed, which itself was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PickedLetters:
    """Those that are meant, and how many others would be."""

    letters: list[DeadLetter]
    """Oldest first."""
    sent: int = 0
    """How many others were sent already."""
    deadly: Mapping[str, int] = field(default_factory=dict)
    """By reason, how many others are only taken if their reason is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which dead letters to take."""

    reasons: Collection[str] = ()
    """Empty means all except `DEADLY`."""
    artifacts: Collection[str] = ()
    """The artifacts that rejected them, by name or by view; empty means all."""
    since_us: int | None = None
    until_us: int | None = None
    """When they were rejected, from `since_us` to before `until_us`: microseconds since the epoch, UTC."""
    limit: int | None = None
    again: bool = False
    """Whether to take also those that were sent already."""

    @classmethod
    def parse(
        cls,
        *,
        reasons: Collection[str] = (),
        artifacts: Collection[str] = (),
        since: str | None,
        until: str | None,
        limit: int | None = None,
        again: bool = False,
    ) -> "LetterFilter":
        """Parse the options of the command. Raises `WrongUsage`."""
        if unknown := sorted(set(reasons) - REASONS.keys()):
            message = f"no reason {unknown[0]!r}; there are {', '.join(REASONS)}"
            raise WrongUsage(message)
        try:
            since_us, until_us = (None if text is None else parse_time(text) for text in (since, until))
        except ValueError as error:
            message = (
                f"expected --since and --until as 2026-01-31T12:00:00Z, found {since or ''} {until or ''}: {error}"
            )
            raise WrongUsage(message) from error
        times = {"since_us": since_us, "until_us": until_us}
        return cls(reasons=reasons, artifacts=artifacts, limit=limit, again=again, **times)

    def pick(self, topic: Iterable[DeadLetter | ReplayNote]) -> PickedLetters:
        """Pick the letters that match.

        A record whose replica died between the dead letter and the checkpoint has two letters; it is picked once for
        each artifact that rejected it. Letters that would kill replicas are picked only if their reason is named.
        """
        meant: dict[tuple[object, ...], list[DeadLetter]] = {}
        sent: set[str] = set()
        for one in topic:
            if isinstance(one, ReplayNote):
                sent.add(one.letter)
            elif self._means(one):
                meant.setdefault((one.view, one.origin, one.origin_offset, one.key, one.value), []).append(one)
        waiting = [
            letters[0] for letters in meant.values() if self.again or not any(one.place in sent for one in letters)
        ]
        unnamed = DEADLY.difference(self.reasons)
        return PickedLetters(
            letters=[one for one in waiting if one.reason not in unnamed][: self.limit],
            sent=len(meant) - len(waiting),
            deadly=Counter(one.reason for one in waiting if one.reason in unnamed),
        )

    def _means(self, letter: DeadLetter) -> bool:
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.artifacts or bool({letter.artifact, letter.view} & {*self.artifacts}))
            and (self.since_us is None or letter.at_us >= self.since_us)
            and (self.until_us is None or letter.at_us < self.until_us)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayVerdict:
    """What would happen to a letter if it were sent now."""

    letter: DeadLetter
    value: bytes
    """The record's bytes as they would be sent."""
    fault: str | None
    """Why it is not sent; None if it would be accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayTarget:
    """An artifact that would read the record again."""

    manifest: Manifest
    decode: Decode

    def fault(self, record: Record) -> str | None:
        """Return why the artifact would reject the record; None if the model's inputs can be built from it."""
        decoded = self.decode([record])
        faults = decoded.rejects or build_inputs(decoded.windows, self.manifest.preprocessing).faults
        return next((f"{one.reason}: {one.detail}" for one in faults), None)


def replay(
    settings: Settings, choice: LetterFilter, console: Console, *, pipe: str | None, send: bool, as_json: bool = False
) -> bool:
    """Show the letters, repaired by the command `pipe`; with `send`, send those that would be accepted now.

    Return whether no letter that was picked stays behind.
    """
    command = None if pipe is None else parse_command(pipe)
    picked = choice.pick(read_dead_letters(settings.kafka))
    manifests = [read_manifest(path) for path in settings.model.artifacts]
    takers = [ReplayTarget(manifest=one, decode=open_alone(settings, one.contract)) for one in manifests]
    verdicts = [judge(letter, takers, settings, command) for letter in picked.letters]
    good = [verdict for verdict in verdicts if verdict.fault is None]
    judged = [(verdict.letter, verdict.fault) for verdict in verdicts]
    if not as_json:
        console.print(letters_for(judged, console.width))
    sent: int | None = None
    if send:
        # A record that several artifacts rejected is sent once, since all of them read it again.
        once = {(one.letter.origin, one.letter.origin_offset, one.value): one for one in good}
        sent = send_again(settings.kafka, ((one.letter, one.value) for one in once.values()))
    behind = len(verdicts) - len(good)
    if as_json:
        counts = {"taken": len(good), "refused_again": behind, "sent": sent}
        left_out = {"sent_before": picked.sent, "unnamed": dict(sorted(picked.deadly.items()))}
        console.print_json(data={"letters": [to_json(*one) for one in judged], **counts, "left_out": left_out})
    else:
        for line in _said(settings, picked, taken=len(good), behind=behind, sent=sent):
            console.print(line)
    return not behind


def _said(settings: Settings, picked: PickedLetters, *, taken: int, behind: int, sent: int | None) -> Iterator[str]:
    """Yield the closing lines: what was or can be sent, and what was left out."""
    if sent is not None:
        stay = f"{behind:,} {'stays' if behind == 1 else 'stay'}, since {'it' if behind == 1 else 'they'}"
        yield f"sent {sent:,} again to {settings.kafka.topic}; {stay} would be refused again"
    elif picked.letters:
        hint = "; send the former with --send" if taken else "; mend them with --pipe"
        yield f"{taken:,} would be taken now, {behind:,} refused again{hint}"
    if picked.sent:
        yield f"{picked.sent:,} more {are(picked.sent)} left out, sent already; --again means them too"
    for reason, count in sorted(picked.deadly.items()):
        why = f"{reason}: {REASONS[reason]}"
        yield f"{count:,} more {are(count)} left out ({why}); once that is mended, --reason {reason} means them"


def judge(
    letter: DeadLetter, takers: Sequence[ReplayTarget], settings: Settings, command: Sequence[str] | None
) -> ReplayVerdict:
    """Repair one letter by the command, and tell whether the artifact that rejected it would accept it now.

    If that artifact is not served any more, those of the same name are asked, or else all.
    """
    if (never := _never(letter, settings.kafka.topic)) is not None:
        return ReplayVerdict(letter=letter, value=letter.value, fault=never)
    value = letter.value
    if command is not None:
        mended = mend(value, command)
        if mended.fault is not None:
            return ReplayVerdict(letter=letter, value=value, fault=mended.fault)
        value = mended.value
    record = Record(partition=letter.origin, offset=letter.origin_offset, appended_us=letter.at_us, value=value)
    asked = [one for one in takers if one.manifest.view().view == letter.view]
    asked = asked or [one for one in takers if one.manifest.name == letter.artifact] or [*takers]
    faults = [one.fault(record) for one in asked]
    if value == letter.value and letter.view in {one.manifest.view().view for one in asked}:
        faults = [_of_window(letter, settings) if fault is None else fault for fault in faults]
    return ReplayVerdict(letter=letter, value=value, fault=None if None in faults else faults[0])


def _of_window(letter: DeadLetter, settings: Settings) -> str | None:
    """Return why an observation that is one is not sent again: what was refused is the window that it completed."""
    if settings.kafka.content != "observations" or letter.reason not in OF_WINDOWS:
        return None
    return f"{letter.reason}: {letter.detail}; of the window that it completed, the observation itself was taken"


def _never(letter: DeadLetter, topic: str) -> str | None:
    """Return why a letter is not sent whatever becomes of its value; None if it may be."""
    if letter.origin.topic != topic:
        return f"it came from the topic {letter.origin.topic or 'unknown'}, and kafka.topic is {topic}"
    if letter.origin.index < 0:
        return "it does not tell which partition it came from: another program wrote it"
    if letter.is_cut:
        return "the topic keeps only its beginning: it was too large"
    if letter.reason in NO_RECORD:
        return "it is no record, but the bytes of one or of a batch that could not be unpacked: its producer has it"
    if letter.reason == "late":
        return "it would be late again: undertow backfill takes it, with what else its series had then"
    return None

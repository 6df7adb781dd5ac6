"""What becomes of whom: what sweeps find, in; a grade for each account, out.

    named once                                  alert: operators are told
    named by `sweeps` sweeps in a row           the first grade: one budget for the cluster, and coarser answers
    still named after a day, and after a week   proof of work, refusal, where the policy has them
    not named any more                          a grade lower with every `lasts_s`, until it is clear; coarser answers
                                                alone, which hide whether an account goes on, are no way back

Rule 1: content alone never takes an established or verified account beyond coarser answers.
Rule 2: who is established is settled when an account is first named: nobody grows old under suspicion.
Rule 3: an account keeps its cluster while it is suspected.  Clusters that turn out to be one are one from then on,
        under the older name: no new name means a new budget.
Rule 4: what was found without calibration is an alert and no more.
Rule 5: who was named once, by a sweep or by a query, and not by the next sweep, is clear again.

A clock that goes back stands still here.  State is bounded; what is least suspected, for longest, makes way first.
"""

from __future__ import annotations

from collections import Counter, deque
from hashlib import sha256
from math import isfinite, log2
from typing import TYPE_CHECKING

from vallum.core.extraction import CLEAR, Change, Grade, Terms, Verdict
from vallum.extraction.alarms import Alarms
from vallum.extraction.rung import Rung, join, read, rename, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from vallum.core.extraction import Account, Pardon
    from vallum.extraction.facts import Alarm, Findings, Named
    from vallum.extraction.rung import State

NEW = "new"  # the cohort of all untrusted accounts
ACCOUNTS_MAX = 50_000  # about 20 MB
PIECE = 500  # accounts that are taken in at once
REPORTED_MAX = 64  # names of clusters that sweeps have reported; the oldest go first
OVER_BITS = 2  # that a loud alarm adds to the work at most: honest newcomers pay it too
UNTOLD_MAX = 10_000  # changes that nobody has fetched; the oldest go first


class Ladder:
    """All suspected accounts of one route."""

    def __init__(self, terms: Terms, accounts_max: int = ACCOUNTS_MAX) -> None:
        """Judge by `terms`."""
        self.terms = terms
        self._max = accounts_max
        self._rungs: dict[str, Rung] = {}
        self._alarms = Alarms()
        self._leaks: dict[str, float] = {}  # by cluster or cohort: the share of the model that it holds by now
        self._pardons: dict[str, Pardon] = {}
        self._reported: dict[str, str] = {}  # by which names the clusters of the last sweeps go here
        self._untold: deque[Change] = deque(maxlen=UNTOLD_MAX)
        self._now = 0.0
        self.sweeps = self.alarms = 0

    @property
    def terms(self) -> Terms:
        """What may be done to whom, and when; a new policy may say otherwise."""
        return self._terms

    @terms.setter
    def terms(self, terms: Terms) -> None:
        self._terms = terms
        self._ranks = sorted({Grade.CLEAR, Grade.ALERT, *terms.grades})
        # The highest grade that may be used, by the one that is wanted.
        self._usable = {wanted: max(grade for grade in self._ranks if grade <= wanted) for wanted in Grade}

    # --- what sweeps find

    def update(self, findings: Findings, now: float, leaks: Mapping[str, float] | None = None) -> list[Change]:
        """Take in what a sweep has found; return whose grade has changed.

        `leaks` is what each cluster or cohort is thought to hold of the model by now, from 0 to 1.
        """
        changes: list[Change] = []
        for some in self.take_in(findings, now, leaks):
            changes += some
        return changes

    def take_in(
        self, findings: Findings, now: float, leaks: Mapping[str, float] | None = None
    ) -> Iterator[list[Change]]:
        """Do as `update` does, in pieces of a few milliseconds; between them each account has its old or new grade."""
        now = self._tick(now)
        self.sweeps += 1
        self.alarms += len(findings.alarms)
        if leaks is not None:
            self._leaks = {name: min(1.0, max(0.0, leak)) for name, leak in leaks.items() if isfinite(leak)}
        named = {one.name: one for one in sorted(findings.named, key=lambda one: one.score)}
        cleared = set(findings.cleared)
        for name, rung in self._rungs.items():
            if name not in named and findings.calibrated:
                rung.row = 0
                if rung.first == rung.named < findings.at or name in cleared:
                    rung.grade = Grade.CLEAR
        yield self.review(now)  # who was on the way down, as far as that went
        clusters = self._find_clusters(named.values())
        others = {cluster: name for cluster, name in self._reported.items() if cluster not in clusters}
        self._reported = dict([*others.items(), *clusters.items()][-REPORTED_MAX:])
        yield []
        sizes = Counter(one.cluster for one in named.values())
        self._make_room(named, now)
        yield []
        gravest = list(reversed(named.values()))
        for start in range(0, len(gravest), PIECE):
            some = gravest[start : start + PIECE]
            for one in some:
                self._name(one, clusters[one.cluster], sizes[one.cluster], now, calibrated=findings.calibrated)
            yield self._review([one.name for one in some], now)
        self._note_alarms(findings.alarms if findings.calibrated else (), now)

    def join(self, one: Named, now: float) -> list[Change]:
        """Take in an account that was named between sweeps, for a cluster that enough sweeps have found already."""
        now = self._tick(now)
        rung = self._rungs.get(one.name)
        if rung is not None and rung.row >= self.terms.sweeps:
            return []
        cluster = self._reported.get(one.cluster, one.cluster)
        others = 1 if rung is None else rung.others + 1
        for _ in range(self.terms.sweeps - (0 if rung is None else rung.row)):
            self._name(one, cluster, others, now, calibrated=True)
        return self._review([one.name], now)

    def review(self, now: float) -> list[Change]:
        """Return whose grade has changed since it was last told, and forget who is clear again."""
        return self._review(list(self._rungs), self._tick(now))

    def _review(self, names: Iterable[str], now: float) -> list[Change]:
        changes: list[Change] = []
        for name in names:
            rung = self._rungs.get(name)
            if rung is None:
                continue
            grade = self._grade(rung, now)
            if grade is not rung.told:
                changes.append(Change(name, rung.cluster, rung.told, grade, now, _evidence(rung)))
                rung.told = grade
            if grade is Grade.CLEAR:
                del self._rungs[name]
        self._untold += changes
        return changes

    def take_changes(self, now: float) -> list[Change]:
        """Return all changes that were not fetched yet, oldest first."""
        self.review(now)
        taken = list(self._untold)
        self._untold.clear()
        return taken

    def _name(self, one: Named, cluster: str, others: int, now: float, *, calibrated: bool) -> None:
        rung = self._rungs.get(one.name)
        if rung is None:
            if len(self._rungs) >= self._max:
                return
            rung = Rung(cluster, now, now, now, 0.0, 0, Grade.CLEAR, Grade.CLEAR, 0.0, 0, one.established)
            self._rungs[one.name] = rung
        grade = self._grade(rung, now)
        if grade <= Grade.ALERT and not rung.row:
            rung.acted = 0.0
        rung.cluster, rung.named, rung.others = cluster, now, others - 1
        rung.score = one.score if isfinite(one.score) else 0.0
        rung.row += int(calibrated)
        wanted = Grade.ALERT
        if calibrated and rung.row >= self.terms.sweeps:
            rung.acted = rung.acted or now
            wanted = self._wanted(rung, now)
        if wanted >= grade:  # else it goes on fading: one sweep alone does not hold up what several have said
            rung.grade, rung.held = wanted, now

    def _wanted(self, rung: Rung, now: float) -> Grade:
        terms = self.terms
        wanted = terms.first
        if rung.established:
            wanted = Grade.COARSER
        elif now - rung.acted >= terms.refused_after_s and Grade.REFUSED in terms.grades:
            wanted = Grade.REFUSED
        elif now - rung.acted >= terms.proof_after_s:
            wanted = max(wanted, Grade.PROOF)
        return self._usable[wanted]

    def _grade(self, rung: Rung, now: float) -> Grade:
        """Return the grade at `now`: a step lower for each `lasts_s` since it was held up."""
        steps = int((now - rung.held) / self._terms.lasts_s)
        if steps <= 0:
            return rung.grade
        ranks = [grade for grade in self._ranks if grade <= rung.grade]
        if rung.grade > Grade.COARSER:  # no way back: coarser answers hide whether the account goes on
            ranks = [grade for grade in ranks if grade is not Grade.COARSER]
        return ranks[max(0, len(ranks) - 1 - steps)]

    # --- clusters

    def _find_clusters(self, named: Iterable[Named]) -> dict[str, str]:
        """Say by which name each reported cluster goes: its oldest member's, or one of its own."""
        since: dict[str, float] = {}
        for rung in self._rungs.values():
            since[rung.cluster] = min(rung.first, since.get(rung.cluster, rung.first))
        members: dict[str, list[str]] = {}
        for one in named:
            members.setdefault(one.cluster, []).append(one.name)
        found: dict[str, str] = {}
        for reported in sorted(members):
            known = {self._rungs[name].cluster for name in members[reported] if name in self._rungs}
            name = min(known, key=lambda cluster: (since[cluster], cluster), default="") or _label(members[reported])
            for other in known - {name}:
                self._rename(other, name)
            found = {old: name if new in known else new for old, new in found.items()}
            found[reported] = name
            since.setdefault(name, self._now)
        return found

    def _rename(self, old: str, new: str) -> None:
        rename(self._rungs, old, new)
        self._reported = {cluster: new if name == old else name for cluster, name in self._reported.items()}
        if old in self._leaks:
            self._leaks[new] = max(self._leaks[old], self._leaks.get(new, 0.0))

    def _make_room(self, named: Mapping[str, Named], now: float) -> None:
        """Make room for those named now; of the others the oldest alerts make way, and nobody beyond an alert."""
        excess = len(self._rungs) + sum(name not in self._rungs for name in named) - self._max
        if excess <= 0:
            return
        alerts = [
            (rung.named, name)
            for name, rung in self._rungs.items()
            if name not in named and self._grade(rung, now) <= Grade.ALERT
        ]
        for _, name in sorted(alerts)[:excess]:
            del self._rungs[name]

    def _note_alarms(self, alarms: tuple[Alarm, ...], now: float) -> None:
        """Take in what was sounded; a cohort that stands out is told like an account, under its own name."""
        suspected = Grade.PROOF if self.terms.probation else Grade.ALERT
        for name, alarm, begins in self._alarms.note(alarms, now, self.terms):
            grades = (Grade.CLEAR, suspected) if begins else (suspected, Grade.CLEAR)
            evidence = alarm.evidence(name) if begins else "no sweep says so any more"
            self._untold.append(Change(f"cluster\x1f{name}", name, *grades, now, evidence))

    # --- what is read

    def verdict(
        self,
        account: Account,
        now: float,
        *,
        established: bool = False,
        cohorts: Callable[[], Iterable[str]] = lambda: (NEW,),
    ) -> Verdict:
        """Say what holds for an account; `established` and `cohorts`, its own, are for one that no sweep has named."""
        rung = self._rungs.get(account.name)
        if rung is None:
            if not self._alarms.known or established or account.verified or not self.terms.probation:
                return CLEAR
            return self._probation(account.name, cohorts(), now)
        now = max(now, self._now)
        grade = self._grade(rung, now)
        pardon = self._pardon(account.name, rung.cluster, now)
        if pardon is not None:
            evidence = f"{_evidence(rung)}; pardoned by {pardon.by}: {pardon.because}"
            return Verdict(Grade.ALERT, cluster=rung.cluster, evidence=evidence, until=pardon.until, pardoned=True)
        if grade <= Grade.ALERT:
            told = Verdict(grade, cluster=rung.cluster, evidence=_evidence(rung), until=self._until(rung, now))
            return told if grade else CLEAR
        if account.verified:  # since it was named, perhaps
            grade = min(grade, Grade.COARSER)
        terms, leak = self.terms, self._leaks.get(rung.cluster, 0.0)
        return Verdict(
            grade,
            terms.coarsen_established if rung.established or account.verified else terms.coarsen,
            rung.cluster,
            # What the cluster holds already was taken out of its budget.
            max(1, round(terms.answers_a_day * (1.0 - leak))) if grade >= Grade.BUDGET else None,
            self._bits(leak) if grade is Grade.PROOF else 0,
            _evidence(rung),
            self._until(rung, now),
        )

    def _probation(self, account: str, cohorts: Iterable[str], now: float) -> Verdict:
        """Ask work of an untrusted account of which a cohort stands out."""
        now = max(now, self._now)
        found = self._alarms.holding(cohorts, now, self.terms.lasts_s)
        if found is None:
            return CLEAR
        name, alarm = found
        pardon = self._pardon(account, name, now)
        evidence = f"of the cohort {name}: {alarm.evidence(name)}"
        if pardon is not None:
            return Verdict(Grade.ALERT, evidence=f"{evidence}; pardoned by {pardon.by}", pardoned=True)
        more = min(OVER_BITS, int(log2(alarm.over)))
        bits = min(self.terms.work_bits[1], self._bits(self._leaks.get(name, 0.0)) + more)
        return Verdict(Grade.PROOF, 0, name, None, bits, evidence, alarm.held + self.terms.lasts_s)

    def _bits(self, leak: float) -> int:
        least, most = self.terms.work_bits
        return least + round((most - least) * leak)

    def _until(self, rung: Rung, now: float) -> float:
        """Return when the account is a grade lower, if nothing more is found."""
        steps = int(max(0.0, now - rung.held) / self.terms.lasts_s)
        return rung.held + (steps + 1) * self.terms.lasts_s

    # --- operators

    def pardon(self, pardons: Iterable[Pardon]) -> None:
        """Put these pardons in the place of those before."""
        self._pardons = {pardon.whom: pardon for pardon in pardons}

    def is_pardoned(self, account: str, now: float) -> bool:
        """Say whether an account by itself is pardoned, whatever it is suspected of."""
        return self._pardon(account, "", now) is not None

    def _pardon(self, account: str, cluster: str, now: float) -> Pardon | None:
        if not self._pardons:
            return None
        for whom in (account, f"cluster\x1f{cluster}"):
            pardon = self._pardons.get(whom)
            if pardon is not None and pardon.until > now:
                return pardon
        return None

    def count(self, now: float) -> dict[Grade, int]:
        """Return how many accounts have each grade."""
        now = max(now, self._now)
        counts = dict.fromkeys(Grade, 0)
        for rung in self._rungs.values():
            counts[self._grade(rung, now)] += 1
        return counts

    def suspects(self, now: float) -> Iterator[tuple[str, str, Grade]]:
        """Yield every account that is suspected, with its cluster and its grade."""
        now = max(now, self._now)
        for name, rung in self._rungs.items():
            yield name, rung.cluster, self._grade(rung, now)

    # --- other processes, and the next one

    def pack(self) -> bytes:
        """Write the state down, for a restart and for other replicas."""
        return write(self._now, self._rungs, self._alarms.known, self._leaks, self._reported)

    def unpack(self, packed: bytes) -> None:
        """Take in what was packed, here before or by another replica; of each account the graver stays.

        Raises ValueError for what is no such state, and then nothing has changed.
        """
        now, rungs, cohorts, leaks, reported = read(packed)
        self._tick(now)
        self._reported = reported | self._reported
        for name, other in rungs.items():
            mine = self._rungs.get(name)
            if mine is not None and mine.cluster != other.cluster:
                (_, new), (_, old) = sorted(((mine.first, mine.cluster), (other.first, other.cluster)))
                rename(rungs, old, new)
                self._rename(old, new)
        for name, other in rungs.items():
            mine = self._rungs.get(name)
            if mine is not None:
                self._rungs[name] = join(mine, other)
            elif len(self._rungs) < self._max:
                self._rungs[name] = other
        self._alarms.join(cohorts)
        for name, leak in leaks.items():
            self._leaks[name] = max(leak, self._leaks.get(name, 0.0))

    def adopt(self, state: State) -> None:
        """Put another replica's state, as `rung.read` read it, in the place of this one."""
        now, rungs, cohorts, leaks, reported = state
        self._tick(now)
        self._rungs, self._alarms, self._leaks, self._reported = rungs, Alarms(cohorts), leaks, reported

    def _tick(self, now: float) -> float:
        if isfinite(now):
            self._now = max(self._now, now)
        return self._now


def _label(members: list[str]) -> str:
    """Name a new cluster by its members: every replica that sees the same gives it the same name."""
    return f"c{sha256(min(members).encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"


def _evidence(rung: Rung) -> str:
    times = "once" if rung.row == 1 else f"{rung.row} sweeps in a row"
    who = "an established account" if rung.established else "an account"
    return f"{who} named with {rung.others} others, {times}, score {rung.score:.3g}"

"""A sweep: cohorts tested against established accounts of the same hours, members attributed, clusters remembered.

1. Every cohort is tested (cohorts.py) against its threshold.
2. A cohort that stands out is searched for the part of it that shares one mean (attribution.py); accounts of clusters that
   stand already are left out, so that a second attack does not hide behind a first.
3. What is found is matched with the clusters that are known, or becomes one.
4. Every account is scored for every cluster.  Untrusted ones past its threshold are named; established ones need far more.

A cluster that two sweeps in a row have found *stands*: from then on a new account is scored after each of its queries
(`glance`, microseconds), and named at its second or third.  It stands for weeks: who comes back is known at once.

Rule 1: nothing is named before calibration.
Rule 2: a sweep hangs on its arguments and on earlier sweeps alone; replicas with the same sketches find the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from math import exp, log, log1p
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vallum.extraction import attribution, calibration, cohorts
from vallum.extraction.facts import WIDTH, Alarm, Findings, Named
from vallum.extraction.state import check_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vallum.extraction.attribution import Evidence
    from vallum.extraction.calibration import Usual
    from vallum.extraction.cohorts import Cohort
    from vallum.extraction.contemporaries import Contemporaries
    from vallum.extraction.facts import Floats, Snapshot

DAY_S = 86_400.0
NEW_S = 14 * DAY_S  # younger accounts are untrusted
KINDS = ("new", "woken", "network", "agent", "client", "tenant", "created")
SWEEPS = 2  # in a row, that a cluster must be found by to stand
REMEMBERED_S = 28 * DAY_S  # a cluster that nobody belonged to for so long is forgotten
CLUSTERS_MAX = 16
SEARCHES = 3  # of one cohort, each without those found before
ESTABLISHED_SURE = 25.0  # score from which an established account is named
ALIKE = 0.6  # cosine of two clusters' means, from which they are one
PEERS, WHOLE = (1, 2, 4), 16  # queries of an established customer that are scored for comparison
APART = 3.0 * WIDTH  # a statistic that is an alarm without a cluster
SEEKING = 2.0  # deviations of one account's habit that a cluster goes, to be one
HELD, HELD_MAX = 3.0, 0.0  # less is needed of who was named before, and at most that much
STREAK = 9.0  # from which an account's streak of queries names it: a streak has many chances to begin
STREAK_EACH = 4.0  # that one query may add to it: one odd query is none
STREAKS_MAX = 10_000  # that are followed for a cluster
LOG_2 = log(2)


@dataclass(slots=True)
class Cluster:
    """Accounts that ask what only they ask."""

    id: str
    shift: Floats  # (WIDTH,) of its mean from the centre, in features
    since: float
    found: float  # last time a search led to it, or an active account belonged to it
    row: int  # sweeps in a row
    thresholds: Floats  # (COUNTS,) by how many queries an account asked
    stands: bool = False
    mean: Floats = field(default_factory=lambda: np.zeros(WIDTH, np.float32))  # the shift, whitened
    streaks: dict[str, float] = field(default_factory=dict)  # what untrusted accounts' last queries speak for it

    def follow(self, name: str, gain: float) -> float:
        """Add what one more query speaks for it to an account's streak (Page's cumulative sum); return the streak.

        A query counts as one of a mixture, half of it honest: to hide among ordinary queries gains little.
        """
        if not gain > -50:
            gain = -50.0
        streak = max(0.0, self.streaks.get(name, 0.0) + min(log1p(exp(min(gain, 50.0))) - LOG_2, STREAK_EACH))
        if streak > 0 and (name in self.streaks or len(self.streaks) < STREAKS_MAX):
            self.streaks[name] = streak
        else:
            self.streaks.pop(name, None)
        return streak


REMEMBERED = ("id", "shift", "since", "found", "row", "thresholds", "stands", "streaks")  # of a cluster


def _read_cluster(usual: Usual | None, *state: Any) -> Cluster:
    name, shift, since, found, row, thresholds, stands, streaks = state
    shift = check_array(shift, np.float32, WIDTH)
    return Cluster(
        str(name),
        shift,
        float(since),
        float(found),
        int(row),
        check_array(thresholds, np.float32, attribution.COUNTS),
        stands=bool(stands),
        mean=np.zeros(WIDTH, np.float32) if usual is None else (shift @ usual.basis).astype(np.float32),
        streaks={str(account): float(streak) for account, streak in streaks.items()},
    )


class Glance(NamedTuple):
    """What turns a young account's sums into scores at once: row i of every array is cluster i."""

    clusters: tuple[Cluster, ...]
    weights: Floats  # (clusters, COUNTS, WIDTH)
    offsets: Floats  # (clusters, COUNTS)
    thresholds: Floats  # (clusters, COUNTS)


class Sweeper:
    """All that sweeps of one route remember."""

    def __init__(self, *, new_s: float = NEW_S, sensitivity: float = 1.0) -> None:
        """Sweep a route where accounts younger than `new_s` are untrusted."""
        self._new_s = new_s
        self._sensitivity = sensitivity
        self.usual: Usual | None = None
        self.limits = calibration.Limits()
        self.clusters: list[Cluster] = []
        self._glance: Glance | None = None
        self._present: tuple[Floats, Floats] | None = None  # the centre of the last sweep, and where it moved
        self._suspects: dict[str, float] = {}  # untrusted accounts that were named, and when last: they grow no older

    def govern(self, new_s: float, sensitivity: float) -> None:
        """Go by another age of trust, and another sensitivity, from now on."""
        self._new_s, self._sensitivity = new_s, sensitivity

    # --- what is usual

    def fit(self, snapshot: Snapshot, peers: Contemporaries) -> bool:
        """Fit what is usual anew, from established accounts that belong to no cluster; say whether that could be done."""
        trusted = self._trusted(snapshot)
        names = [snapshot.names[i] for i in np.flatnonzero(trusted)]
        rows, owners = peers.rows(names)
        usual = calibration.fit(snapshot.at, rows, owners, snapshot.counts[trusted], snapshot.sums[trusted])
        if usual is None:
            return False
        self.usual = usual
        for cluster in self.clusters:
            cluster.mean = (cluster.shift @ usual.basis).astype(np.float32)
        return True

    def _trusted(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        old: NDArray[np.bool_] = (snapshot.at - snapshot.created >= self._new_s) & (snapshot.counts > 0)
        if self._suspects:
            old &= np.fromiter((name not in self._suspects for name in snapshot.names), np.bool_, len(old))
        return old

    # --- the sweep

    def sweep(self, snapshot: Snapshot, peers: Contemporaries, fresh: Contemporaries) -> Findings:
        """Test, search, match, name; `fresh` are the last queries of untrusted accounts."""
        usual, now = self.usual, snapshot.at
        present = peers.present(now)
        if usual is None or present.weight < 16 or not len(snapshot.names):
            return Findings(now)
        fine = (snapshot.counts > 0) & np.isfinite(snapshot.counts) & np.isfinite(snapshot.sums).all(axis=1)
        trusted = self._trusted(snapshot)
        drift = self._drift(snapshot, trusted & fine, present.centre)
        counts = np.where(fine, snapshot.counts, 1).astype(np.float32)
        sums = snapshot.sums if fine.all() else np.where(fine[:, None], snapshot.sums, present.centre)
        evidence = attribution.weigh(usual, present.centre, counts, sums, drift)
        noise = (1 + usual.habit * 4) / present.weight
        state = _State(snapshot, usual, evidence, fine, trusted, noise.astype(np.float32))
        state.peers = [
            attribution.weigh(usual, present.centre, np.full(len(group), size, np.float32), group * size, drift)
            for size, group in ((size, peers.groups(size)) for size in PEERS)
        ]
        state.rows = {name: i for i, name in enumerate(snapshot.names)}
        for tau_s in cohorts.RECENT_S:
            names, n, recent = fresh.accounts(now, tau_s)
            rows = np.array([state.rows.get(name, -1) for name in names], np.intp)
            known = rows >= 0
            known[known] = state.untrusted[rows[known]]
            state.recent[tau_s] = rows[known], n[known], attribution.weigh(usual, present.centre, n[known], recent[known], drift)
        self._suspects = {name: last for name, last in self._suspects.items() if now - last < REMEMBERED_S}
        alarms = self._search(state)
        named = self._name(state)
        self._prepare(usual, present.centre, drift)
        return Findings(now, tuple(alarms), tuple(named), self.limits.calibrated)

    def _drift(self, snapshot: Snapshot, trusted: NDArray[np.bool_], centre: Floats) -> Floats:
        """Return the direction in which established accounts have moved of late: it tells nothing of new ones."""
        usual = self.usual
        if usual is None or trusted.sum() < calibration.ACCOUNTS_MIN:
            return np.zeros((WIDTH, 0), np.float32)
        weight = np.minimum(snapshot.counts[trusted], calibration.COUNT_MAX)
        before = (weight / snapshot.counts[trusted]) @ snapshot.sums[trusted] / weight.sum()
        moved = np.stack([(centre - before) @ usual.basis, (centre - usual.centre) @ usual.basis], axis=1)
        turned, _ = np.linalg.qr(moved + 1e-9)
        return turned.astype(np.float32)

    def _search(self, state: _State) -> list[Alarm]:
        alarms: list[Alarm] = []
        found: set[int] = set()
        for cohort in cohorts.list_cohorts(state.snapshot, state.fine & state.awake, KINDS):
            for view in (*cohorts.RECENT_S, np.inf) if cohort.kind == "new" else (np.inf,):
                alarm = self._test(state, cohort.kind, cohort.code, view, cohort.members)
                if alarm is None or not self.limits.calibrated:
                    continue
                clusters = self._attribute(state, cohort, view)
                found |= clusters
                if clusters or alarm.statistic > APART:
                    alarms.append(alarm)
        habit = self._test_habit(state)
        if habit is not None and self.limits.calibrated:
            alarms.append(habit)
        for place, cluster in enumerate(self.clusters):
            cluster.row = cluster.row + 1 if place in found else 0
            cluster.stands = cluster.stands or cluster.row >= SWEEPS
        self.clusters = [cluster for cluster in self.clusters if cluster.stands or cluster.row]
        return alarms

    def _compare(self, state: _State, view: float, rows: NDArray[np.intp]) -> cohorts.Test:
        """Test some accounts: what they asked in the last hours, or all that is remembered of them."""
        if view == np.inf:
            return cohorts.compare(state.usual, state.evidence.take(rows), np.ones(len(rows), np.float32), state.noise)
        asked, counts, evidence = state.recent[view]
        mine = np.isin(asked, rows)
        return cohorts.compare(state.usual, evidence.take(mine), np.minimum(counts[mine], 1), state.noise)

    def _test(self, state: _State, kind: str, code: int, view: float, rows: NDArray[np.intp]) -> Alarm | None:
        test = self._compare(state, view, rows)
        if test.accounts < cohorts.ACCOUNTS_MIN:
            return None
        tests = {"seeking": test.seeking}
        if kind == "new":
            tests["apart"] = test.apart
        for name, statistic in tests.items():
            limit = self.limits.judge(name, f"{kind} {view / 3600:g}", statistic) / self._sensitivity
            if statistic > limit:
                return Alarm(kind if kind in ("new", "woken") else f"{kind}:{code}", statistic, limit, round(test.accounts))
        return None

    def _test_habit(self, state: _State) -> Alarm | None:
        rows = np.flatnonzero(state.fine & state.untrusted & state.awake)
        if len(rows) < cohorts.ACCOUNTS_MIN:
            return None
        weights = state.weights(rows, cohorts.RECENT_S[-1])
        statistic = cohorts.without_habit(state.usual, state.evidence.take(rows), state.snapshot.counts[rows], weights)
        limit = self.limits.judge("habit", "new", statistic) / self._sensitivity
        return Alarm("new", statistic, limit, len(rows)) if statistic > limit else None

    def _attribute(self, state: _State, cohort: Cohort, view: float) -> set[int]:
        """Search a cohort that stands out; return the places of the clusters found."""
        found: set[int] = set()
        rows = cohort.members[state.untrusted[cohort.members]]
        for place, cluster in enumerate(list(self.clusters)):
            rows, again = self._gather(state, rows, view, cluster.mean, place)
            found |= again
        for _ in range(SEARCHES):
            if len(rows) < attribution.MEMBERS_MIN or self._test(state, cohort.kind, cohort.code, view, rows) is None:
                break
            start = self._compare(state, view, rows).mean
            rows, new = self._gather(state, rows, view, start)
            if not new:
                break
            found |= new
        return found

    def _gather(
        self, state: _State, rows: NDArray[np.intp], view: float, start: Floats, known: int = -1
    ) -> tuple[NDArray[np.intp], set[int]]:
        """Gather a group among some accounts; return who is certainly not in it, and the place of its cluster, if any."""
        if len(rows) < attribution.MEMBERS_MIN:
            return rows, set()
        evidence = state.evidence.take(rows)
        weights = np.maximum(state.weights(rows, view), 0.05).astype(np.float32)
        group = attribution.gather(evidence, weights, start, state.usual.seeking)
        if known >= 0 and _cosine(group.mean, start) < ALIKE:
            return rows[attribution.score(evidence, start) < 0], set()
        if self._seeking(state.usual, group) < SEEKING:
            if known >= 0:
                self.clusters[known].stands = False
            return rows, set()
        thresholds = attribution.thresholds(group.share, (*PEERS, WHOLE), state.honest(group.mean))
        scores = attribution.score(evidence, group.mean)
        members = rows[scores >= attribution.needed(thresholds, state.snapshot.counts[rows])]
        if len(members) < attribution.MEMBERS_MIN:
            return rows[attribution.score(evidence, start) < 0] if known >= 0 else rows, set()
        return rows[scores < 0], {self._match(state, group.mean, thresholds, members, known)}

    @staticmethod
    def _seeking(usual: Usual, group: attribution.Gathered) -> float:
        """Say how far a group goes towards doubt or what is strange, in deviations of one honest account's habit."""
        spread = usual.habit + group.noise
        return float(((usual.seeking @ group.raw) / np.sqrt((usual.seeking**2) @ spread)).max())

    def _match(self, state: _State, mean: Floats, thresholds: Floats, members: NDArray[np.intp], known: int) -> int:
        """Return the place of the cluster that has this mean: one that is known, brought up to date, or a new one."""
        now = state.snapshot.at
        shift = np.linalg.solve(state.usual.basis.T.astype(np.float64), mean.astype(np.float64)).astype(np.float32)
        place = known
        if known < 0 and self.clusters:
            alike = [_cosine(cluster.mean, mean) for cluster in self.clusters]
            place = int(np.argmax(alike)) if max(alike) > ALIKE else -1
        if place >= 0:
            cluster = self.clusters[place]
            cluster.shift, cluster.mean, cluster.thresholds, cluster.found = shift, mean, thresholds, now
            return place
        if len(self.clusters) >= CLUSTERS_MAX:
            weakest = min(range(len(self.clusters)), key=lambda i: (self.clusters[i].stands, self.clusters[i].found))
            del self.clusters[weakest]
        first = min(members, key=lambda i: (state.snapshot.created[i], state.snapshot.names[i]))
        name = "c" + blake2b(state.snapshot.names[first].encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()
        self.clusters.append(Cluster(name, shift, now, now, 0, thresholds, mean=mean))
        return len(self.clusters) - 1

    def _name(self, state: _State) -> list[Named]:
        """Name every account that belongs to a cluster, under the one it speaks for most."""
        now, snapshot = state.snapshot.at, state.snapshot
        self.clusters = [cluster for cluster in self.clusters if now - cluster.found < REMEMBERED_S]
        if not self.clusters:
            return []
        scores = np.stack([attribution.score(state.evidence, cluster.mean) for cluster in self.clusters])
        needed = attribution.needed(np.stack([cluster.thresholds for cluster in self.clusters]), snapshot.counts)
        needed = np.where(state.untrusted[None], needed, ESTABLISHED_SURE)
        if self._suspects:
            held = np.fromiter((name in self._suspects for name in snapshot.names), np.bool_, len(snapshot.names))
            needed = np.where(held[None], np.minimum(needed - HELD, HELD_MAX), needed)
        beyond = np.where(state.fine[None], scores - needed, -np.inf)
        for place, cluster in enumerate(self.clusters):
            long = {name for name, streak in list(cluster.streaks.items()) if streak >= STREAK}
            if long:
                beyond[place, [name in long for name in snapshot.names]] = 0.0
        best = beyond.argmax(axis=0)
        named: list[Named] = []
        for i in np.flatnonzero(beyond.max(axis=0) >= 0).tolist():
            cluster = self.clusters[best[i]]
            cluster.found = max(cluster.found, float(snapshot.last[i]))
            named.append(Named(snapshot.names[i], cluster.id, float(scores[best[i], i]), bool(state.trusted[i])))
            if cluster.stands and not state.trusted[i]:
                self._suspects[snapshot.names[i]] = now
        return named

    # --- other processes, and the next one

    def state(self, *, whole: bool = True) -> Any:
        """Return all that sweeps remember; without the whole, of what is usual only when it was fitted."""
        usual = self.usual
        return {
            "usual": None if usual is None else usual.pack() if whole else usual.at,
            "limits": (self.limits.calibrated, self.limits.reached),
            "clusters": [[getattr(cluster, name) for name in REMEMBERED] for cluster in self.clusters],
            "suspects": self._suspects,
            "present": self._present,
        }

    def take_state(self, state: Any) -> None:
        """Put another's memory in the place of this one.  Raise ValueError for what is none."""
        usual = self.usual
        if not isinstance(state["usual"], float):
            usual = None if state["usual"] is None else calibration.unpack(state["usual"])
        elif usual is None or usual.at != state["usual"]:
            raise ValueError("what is usual to another is not known here")
        clusters = [_read_cluster(usual, *cluster) for cluster in state["clusters"][:CLUSTERS_MAX]]
        present = state["present"]
        if present is not None:
            centre, drift = present
            present = check_array(centre, np.float32, WIDTH), check_array(drift, np.float32, WIDTH, None)
        calibrated, reached = state["limits"]
        limits = calibration.Limits(bool(calibrated), {str(test): float(most) for test, most in reached.items()})
        suspects = {str(name): float(last) for name, last in state["suspects"].items()}
        self.usual, self.limits, self.clusters, self._suspects = usual, limits, clusters, suspects
        if usual is not None and present is not None:
            self._prepare(usual, *present)

    # --- between sweeps

    def _prepare(self, usual: Usual, centre: Floats, drift: Floats) -> None:
        """Make ready what `glance` reads."""
        self._present = centre, drift
        standing = [cluster for cluster in self.clusters if cluster.stands]
        if not standing:
            self._glance = None
            return
        precision = attribution.precision(usual, np.arange(1, attribution.COUNTS + 1, dtype=np.float32))
        means = np.stack([cluster.mean for cluster in standing])
        pulls = means[:, None, :] * precision
        if drift.size:
            pulls -= (pulls @ drift) @ drift.T
        weights = pulls @ usual.basis.T
        offsets = weights @ centre + (means[:, None, :] ** 2 * precision).sum(axis=2) / 2
        thresholds = np.stack([cluster.thresholds for cluster in standing])
        self._glance = Glance(tuple(standing), weights.astype(np.float32), offsets.astype(np.float32), thresholds)

    @property
    def stands(self) -> bool:
        """Say whether any cluster stands."""
        return self._glance is not None

    def is_suspect(self, name: str) -> bool:
        """Say whether an untrusted account was named by a cluster that stands: it does not grow old meanwhile."""
        return name in self._suspects

    def glance(self, name: str, rows: Floats, count: float, sums: Floats) -> Named | None:
        """Score an untrusted account for the clusters that stand, after its query; None: it belongs to none, so far."""
        glance = self._glance
        if glance is None or not count > 0:
            return None
        place = min(max(round(count), 1), attribution.COUNTS) - 1
        scores = glance.weights[:, place] @ (sums / count) - glance.offsets[:, place]
        single = glance.weights[:, 0] @ rows.mean(axis=0) - glance.offsets[:, 0]
        streaks = [
            cluster.follow(name, gain)
            for cluster, gain in zip(glance.clusters, single.tolist(), strict=True)
        ]
        needed = attribution.needed(glance.thresholds, np.float32(count))
        scores = np.maximum(scores - needed, np.array(streaks) - STREAK)
        best = int(scores.argmax())
        if not scores[best] >= 0:
            return None
        return Named(name, glance.clusters[best].id, float(scores[best] + needed[best]), established=False)


class _State:
    """What one sweep works on."""

    def __init__(
        self,
        snapshot: Snapshot,
        usual: Usual,
        evidence: Evidence,
        fine: NDArray[np.bool_],
        trusted: NDArray[np.bool_],
        noise: Floats,
    ) -> None:
        self.snapshot, self.usual, self.evidence, self.noise = snapshot, usual, evidence, noise
        self.fine, self.trusted = fine, trusted
        self.untrusted = ~trusted & ~snapshot.protected
        age = np.maximum(snapshot.at - snapshot.last, 0)
        self.age = age
        self.awake = age < NEW_S
        self.rows: dict[str, int] = {}
        self.recent: dict[float, tuple[NDArray[np.intp], Floats, Evidence]] = {}  # who asked of late, how much, what
        self.peers: list[Evidence] = []  # of established customers' queries, one each, two each, ..

    def weights(self, rows: NDArray[np.intp], view: float) -> Floats:
        """Return how much each account counts in a view."""
        return np.exp(-self.age[rows] / view).astype(np.float32)

    def honest(self, mean: Floats) -> tuple[Floats, ...]:
        """Return what established customers score for a cluster's mean: by groups of queries, and as a whole."""
        whole = np.flatnonzero(self.trusted & self.fine & self.awake & (self.snapshot.counts >= WHOLE / 2))
        every = (*self.peers, self.evidence.take(whole))
        return tuple(attribution.score(evidence, mean) for evidence in every)


def _cosine(one: Floats, other: Floats) -> float:
    return float(one @ other) / (float(np.linalg.norm(one) * np.linalg.norm(other)) + 1e-9)

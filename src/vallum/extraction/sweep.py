"""A sweep: cohorts tested against established accounts of the same hours, members attributed, clusters remembered.

1. Every cohort is tested (cohorts.py) against its threshold.
2. A cohort that stands out is searched for the part of it that shares one mean (attribution.py): first for the
   clusters that are known, then, among those that belong to none of them, for others, so that a second attack does not
   hide behind a first.
3. A group is a cluster only where it goes towards doubt or what is strange (of texts: anywhere), further than one
   honest account's habit does, and where no shares of what established customers ask explain it (ground.py).  Many
   new accounts that ask the same ordinary things (a launch, one customer with many keys) are none.
4. A cluster's mean, and whether it goes on being one, is for the largest group to say that it is found in: in a
   cohort of a few accounts chance does.
5. Apart from all that, untrusted accounts that ask nearly what others ask, in many places, are one cluster (kin.py).
6. Every other account is scored for every cluster.  Untrusted ones past its threshold are named; established ones need
   far more.

A cluster that two sweeps in a row have found *stands*: from then on a new account is scored after each of its queries
(cluster.py), and named at its second or third.  It stands for weeks: who comes back is known at once.

Rule 1: nothing is named before calibration.
Rule 2: a sweep hangs on its arguments and on earlier sweeps alone; replicas with the same sketches find the same.
Rule 3: who is named grows no older: an account does not become established by waiting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vallum.core.extraction import DAY_S
from vallum.extraction import attribution, calibration, cohorts, kin
from vallum.extraction import cluster as clusters
from vallum.extraction.arrivals import Arrivals
from vallum.extraction.cluster import Cluster, Glance, cosine
from vallum.extraction.facts import WIDTH, Alarm, Findings, Named
from vallum.extraction.kin import Kin
from vallum.extraction.scene import ALL_S, PEERS, WHOLE, Scene
from vallum.extraction.state import check_array
from vallum.extraction.wave import Waves

if TYPE_CHECKING:
    from vallum.extraction.attribution import Gathered
    from vallum.extraction.calibration import Usual
    from vallum.extraction.cohorts import Cohort
    from vallum.extraction.contemporaries import Contemporaries
    from vallum.extraction.facts import Floats, Snapshot
    from vallum.extraction.scene import Marks, Rows

NEW_S = 14 * DAY_S  # younger accounts are untrusted
NEW = "new"
KINDS = (NEW, "woken", "network", "agent", "client", "tenant", "created")
UNCODED = (NEW, "woken")  # kinds of which there is one cohort
SWEEPS = 2  # in a row, that a cluster must be found by to stand
REMEMBERED_S = 28 * DAY_S  # a cluster that nobody belonged to for so long is forgotten
CLUSTERS_MAX = 16
SEARCHES = 3  # of one cohort, each without those found before
PRESENT_MIN = 16  # queries of established accounts, below which there is nothing to compare with
ESTABLISHED_SURE = 25.0  # score from which an established account is named
ALIKE = 0.6  # cosine of two clusters' means, from which they are one
FADED = 0.05  # that an account counts in a search at least, however long ago it asked
APART = 3.0 * WIDTH  # a statistic that is an alarm without a cluster
SUPPORT = 5.0  # of the statistic of seeking, without which one of being apart opens no search, of texts only a first
STILL_SEEKING = 1.0  # to stay one: answers that were made coarser say less of its members
HELD, HELD_MAX = 3.0, -2.0  # less is needed of who was named before, and of few queries at most that


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
        self._suspects: dict[str, float] = {}  # untrusted accounts that were named, and when last
        self._arrivals = Arrivals()
        self._waves = Waves()
        self._kin = Kin()
        self._enough: dict[str, float] = {}  # the score that names each account that came with many others
        self._enough_now = np.inf  # and one that comes now
        self._more: dict[str, float] = {}  # what is needed more of each that came alone

    def govern(self, new_s: float, sensitivity: float) -> None:
        """Go by another age of trust, and another sensitivity, from now on."""
        self._new_s, self._sensitivity = new_s, sensitivity

    @property
    def stands(self) -> bool:
        """Say whether any cluster stands."""
        return self._glance is not None

    def is_suspect(self, name: str) -> bool:
        """Say whether an untrusted account was named by a cluster that stands."""
        return name in self._suspects

    def wave_of(self, name: str, now: float) -> str:
        """Name the wave that an untrusted account came with; nothing: with none.  Who is not known yet comes now."""
        return self._waves.cohort_of(self._arrivals.came(name, now))

    def glance(self, name: str, rows: Floats, count: float, sums: Floats) -> Named | None:
        """Score an untrusted account for the clusters that stand, after its query; None: it belongs to none, so far."""
        if self._glance is None:
            return None
        most = self._enough.get(name, np.inf) if self._arrivals.knows(name) else self._enough_now
        return self._glance.score(name, rows, count, sums, most, more=self._more.get(name, 0.0))

    def say_nothing(self, count: float, sums: Floats) -> Floats | None:
        """Return the bins of an answer that tells nothing of an account; None: there is no cluster to tell it of."""
        return None if self._glance is None else self._glance.say_nothing(count, sums)

    # --- what is usual

    def fit(self, snapshot: Snapshot, peers: Contemporaries) -> bool:
        """Fit what is usual anew, from established accounts that are not suspected; say whether that was done.

        While a cluster stands it is not: its mean, and what its members score, would change under it.
        """
        if self.usual is not None and self.stands:
            return False
        trusted = self._trusted(snapshot)
        names = [snapshot.names[row] for row in np.flatnonzero(trusted)]
        rows, owners = peers.rows(names)
        usual = calibration.fit(snapshot.at, rows, owners, snapshot.counts[trusted], snapshot.sums[trusted])
        if usual is None:
            return False
        self.usual = usual
        self._kin.learn(rows, owners)
        for known in self.clusters:
            known.mean = (known.shift @ usual.basis).astype(np.float32)
        return True

    def _trusted(self, snapshot: Snapshot) -> Marks:
        old: Marks = (snapshot.at - snapshot.created >= self._new_s) & (snapshot.counts > 0)
        return old & ~self._marks(snapshot, self._suspects)

    @staticmethod
    def _marks(snapshot: Snapshot, names: Any) -> Marks:
        """Say of each account whether it is among some."""
        if not names:
            return np.zeros(len(snapshot.names), np.bool_)
        return np.fromiter((name in names for name in snapshot.names), np.bool_, len(snapshot.names))

    # --- the sweep

    def sweep(
        self, snapshot: Snapshot, peers: Contemporaries, fresh: Contemporaries, *, texts: bool = False
    ) -> Findings:
        """Test, search, match, name; `fresh` are the last queries of untrusted accounts; `texts`: of texts."""
        usual, now, present = self.usual, snapshot.at, peers.present(snapshot.at)
        if usual is None or present.weight < PRESENT_MIN or not snapshot.names:
            return Findings(now)
        self._suspects = {name: last for name, last in self._suspects.items() if now - last < REMEMBERED_S}
        scene = Scene(usual, snapshot, present, self._trusted(snapshot), texts=texts)
        scene.look(peers, fresh)
        came = self._arrivals.meet(snapshot)
        scene.waved = self._waves.members(came)
        together = np.where(scene.untrusted, came, -np.inf)
        odds = self._arrivals.odds(together, scene.mark(self._suspects), np.append(together, now), now)
        enough = attribution.needed_of(odds)
        scene.enough, self._enough_now = enough[:-1], float(enough[-1])
        scene.alone = np.isfinite(together) & (odds[:-1] <= attribution.TOGETHER)
        self._enough = {snapshot.names[row]: float(enough[row]) for row in np.flatnonzero(np.isfinite(enough[:-1]))}
        alarms = self._find_kin(scene, fresh) if self.limits.calibrated else []
        alarms += self._test_all(scene)
        if not self.limits.calibrated:
            return Findings(now)
        alarms += self._waves.find(scene, came, self._arrivals.began)
        named = [*self._name(scene), *self._name_kin(scene)]
        cleared = self._clear(scene, {one.name for one in named})
        self._prepare(usual, scene.centre, scene.drift)
        return Findings(now, tuple(alarms), tuple(named), calibrated=True, cleared=cleared)

    def _test_all(self, scene: Scene) -> list[Alarm]:
        """Test each cohort, and search those that stand out."""
        alarms: list[Alarm] = []
        found: set[str] = set()
        for known in self.clusters:
            known.members = 0
        for cohort in cohorts.list_cohorts(scene.snapshot, scene.fine, KINDS):
            for view in (*cohorts.RECENT_S, ALL_S) if cohort.kind == NEW else (ALL_S,):
                alarm = self._test(scene, cohort, cohort.members, view)
                if alarm is None or not self.limits.calibrated:
                    continue
                led_to = self._attribute(scene, cohort, view)
                found |= led_to
                if led_to or alarm.statistic > APART:
                    alarms.append(alarm)
        habit = self._test_habit(scene)
        if habit is not None:
            alarms.append(habit)
        for known in self.clusters:
            known.row = known.row + 1 if known.id in found else 0
            known.stands = known.stands or known.row >= SWEEPS
        self.clusters = [known for known in self.clusters if known.stands or known.row]
        return alarms

    def _test(self, scene: Scene, cohort: Cohort, rows: Rows, view: float) -> Alarm | None:
        """Test some accounts of a cohort."""
        kind, test = cohort.kind, scene.compare(rows, view)
        if test.accounts < cohorts.ACCOUNTS_MIN:
            return None
        statistics = {"seeking": test.seeking} | ({"apart": test.apart} if kind == NEW else {})
        # Texts may be a raid and seek nothing; but what stands is not to be given up by searches that find little.
        opens = test.seeking >= SUPPORT or test.apart > APART or (scene.texts and not self.stands)
        for name, statistic in statistics.items():
            limit = self.limits.judge(name, f"{kind} {view / 3600:g}", statistic) / self._sensitivity
            if statistic > limit and (name != "apart" or opens):
                label = kind if kind in UNCODED else f"{kind}:{cohort.code}"
                return Alarm(label, statistic, limit, round(test.accounts))
        return None

    def _test_habit(self, scene: Scene) -> Alarm | None:
        rows = np.flatnonzero(scene.fine & scene.untrusted & ~scene.waved)  # waves have an alarm of their own
        if len(rows) < cohorts.ACCOUNTS_MIN:
            return None
        weights = scene.fade(rows, cohorts.RECENT_S[-1])
        statistic = cohorts.without_habit(scene.usual, scene.evidence.take(rows), scene.snapshot.counts[rows], weights)
        limit = self.limits.judge("habit", NEW, statistic) / self._sensitivity
        return Alarm(NEW, statistic, limit, len(rows)) if statistic > limit else None

    def _find_kin(self, scene: Scene, fresh: Contemporaries) -> list[Alarm]:
        """Look for untrusted accounts that ask nearly what others ask."""
        places = self._kin.search(scene, fresh)
        scene.kin = scene.mark(self._kin.names)
        return [Alarm(NEW, float(places), kin.PLACES_MIN, len(self._kin.names))] if places >= kin.PLACES_MIN else []

    # --- who it is

    def _attribute(self, scene: Scene, cohort: Cohort, view: float) -> set[str]:
        """Search a cohort that stands out; return the clusters found."""
        found: set[str] = set()
        rows = cohort.members[scene.untrusted[cohort.members] & ~scene.kin[cohort.members]]
        for known in list(self.clusters):
            rows = self._find_again(scene, rows, view, known, found)
        for _ in range(SEARCHES):
            if len(rows) < attribution.MEMBERS_MIN or self._test(scene, cohort, rows, view) is None:
                break
            group = self._gather(scene, rows, view, scene.compare(rows, view).mean)
            thresholds, members = self._members(scene, rows, group)
            if not scene.is_seeking(group) or len(members) < attribution.MEMBERS_MIN:
                break
            if not scene.is_common(group, surely=False):
                found.add(self._remember(scene, group.mean, thresholds, members))
            rows = rows[attribution.score(scene.evidence.take(rows), group.mean) < 0]
        return found

    def _find_again(self, scene: Scene, rows: Rows, view: float, known: Cluster, found: set[str]) -> Rows:
        """Look for a known cluster, and bring it up to date; return who is certainly not of it."""
        if len(rows) < attribution.MEMBERS_MIN:
            return rows
        least = max(attribution.MEMBERS_MIN, known.members)
        if len(rows) >= least:
            group = self._gather(scene, rows, ALL_S, known.mean)  # members that are held ask little of late
            thresholds, members = self._members(scene, rows, group)
            if cosine(group.mean, known.mean) >= ALIKE and len(members) >= least:
                if not scene.is_seeking(group, STILL_SEEKING):
                    known.stands = False
                    return rows
                if scene.is_common(group, surely=True):
                    known.stands = False
                    return rows[attribution.score(scene.evidence.take(rows), group.mean) < 0]
                known.take_mean(group.mean, scene.shift_of(group.mean), thresholds, len(members))
                known.found = scene.snapshot.at
                found.add(known.id)
        return rows[attribution.score(scene.evidence.take(rows), known.mean) < 0]

    @staticmethod
    def _gather(scene: Scene, rows: Rows, view: float, start: Floats) -> Gathered:
        weights = np.maximum(scene.fade(rows, view), FADED).astype(np.float32)
        return attribution.gather(scene.evidence.take(rows), weights, start, scene.usual.seeking)

    @staticmethod
    def _members(scene: Scene, rows: Rows, group: Gathered) -> tuple[Floats, Rows]:
        """Return a group's thresholds, and who is past them."""
        thresholds = attribution.thresholds(group.share, (*PEERS, WHOLE), scene.honest(group.mean))
        scores = attribution.score(scene.evidence.take(rows), group.mean)
        return thresholds, rows[scores >= attribution.needed(thresholds, scene.snapshot.counts[rows])]

    def _remember(self, scene: Scene, mean: Floats, thresholds: Floats, members: Rows) -> str:
        """Return the cluster that has this mean: one that is known, or a new one."""
        now, snapshot = scene.snapshot.at, scene.snapshot
        alike = max(self.clusters, key=lambda known: cosine(known.mean, mean), default=None)
        if alike is None or cosine(alike.mean, mean) < ALIKE:
            if len(self.clusters) >= CLUSTERS_MAX:
                self.clusters.remove(min(self.clusters, key=lambda known: (known.stands, known.found)))
            first = min(members, key=lambda row: (snapshot.created[row], snapshot.names[row]))
            id = clusters.id_of(snapshot.names[first], {known.id for known in self.clusters})
            alike = Cluster(id, mean, now, now, 0, thresholds)
            self.clusters.append(alike)
        alike.found = now
        if len(members) >= alike.members:
            alike.take_mean(mean, scene.shift_of(mean), thresholds, len(members))
        return alike.id

    def _name(self, scene: Scene) -> list[Named]:
        """Name every account that belongs to a cluster, under the one it speaks for most."""
        now, snapshot = scene.snapshot.at, scene.snapshot
        self.clusters = [known for known in self.clusters if now - known.found < REMEMBERED_S]
        self._more = {}
        if not self.clusters:
            return []
        scores = np.stack([attribution.score(scene.evidence, known.mean) for known in self.clusters])
        stands = np.array([known.stands for known in self.clusters])[:, None]
        thresholds = np.stack([known.thresholds for known in self.clusters])
        needed = attribution.needed(thresholds, snapshot.counts, np.where(stands, scene.enough, np.inf))
        needed = np.where(scene.untrusted, needed, ESTABLISHED_SURE)
        less = np.minimum(needed - HELD, attribution.needed(thresholds, snapshot.counts, HELD_MAX))
        less = np.where(scene.mark(self._suspects), less, needed)
        told = scene.fine & ~scene.kin
        beyond = np.where(told, scores - less, -np.inf)
        more = attribution.more_of_alone((beyond >= 0) & scene.untrusted, scene.alone)
        odd = scene.alone & (more >= attribution.LIKELY)[:, None]  # they came alone, and hardly any member did
        beyond = np.where(odd & told, scores - needed, beyond)  # to stay named takes them what it took at first
        beyond -= np.where(scene.alone, more[:, None], 0)
        self._more = {snapshot.names[row]: float(more.max()) for row in np.flatnonzero(scene.alone)}
        wanted = self._more | {name: min(0.0, enough - attribution.LIKELY) for name, enough in self._enough.items()}
        for place, known in enumerate(self.clusters):
            beyond[place, scene.mark(known.long_streaks(wanted)) & ~scene.kin] = 0.0
        best = beyond.argmax(axis=0)
        named: list[Named] = []
        for row in np.flatnonzero(beyond.max(axis=0) >= 0).tolist():
            known = self.clusters[best[row]]
            known.found = max(known.found, min(now, float(snapshot.last[row])))
            named.append(Named(snapshot.names[row], known.id, float(scores[best[row], row]), bool(scene.trusted[row])))
            if known.stands and not scene.trusted[row]:
                self._suspects[snapshot.names[row]] = now
        return named

    def _clear(self, scene: Scene, named: set[str]) -> tuple[str, ...]:
        """Let go of who came alone, where members come together, and is not named, or not any more."""
        alone = (scene.snapshot.names[row] for row in np.flatnonzero(scene.alone & scene.untrusted).tolist())
        cleared = tuple(name for name in alone if name not in named and self._more.get(name, 0.0) >= attribution.LIKELY)
        for name in cleared:
            self._suspects.pop(name, None)
        return cleared

    def _name_kin(self, scene: Scene) -> list[Named]:
        """Name every account that asks nearly what others ask."""
        snapshot = scene.snapshot
        rows = np.flatnonzero(scene.kin & scene.untrusted).tolist()
        if not rows:
            return []
        first = min(rows, key=lambda row: (snapshot.created[row], snapshot.names[row]))
        id = clusters.id_of(snapshot.names[first], {known.id for known in self.clusters})
        self._suspects |= {snapshot.names[row]: snapshot.at for row in rows}
        return [Named(snapshot.names[row], id, attribution.SURE, established=False) for row in rows]

    def _prepare(self, usual: Usual, centre: Floats, drift: Floats) -> None:
        """Make ready what scores accounts between sweeps."""
        self._present = centre, drift
        standing = [known for known in self.clusters if known.stands]
        self._glance = clusters.prepare(standing, usual, centre, drift) if standing else None

    # --- other processes, and the next one

    def state(self, *, whole: bool = True) -> Any:
        """Return all that sweeps remember; without the whole, of what is usual only when it was fitted."""
        usual = self.usual
        return {
            "usual": None if usual is None else usual.pack() if whole else usual.at,
            "limits": (self.limits.calibrated, self.limits.reached),
            "clusters": [known.state() for known in self.clusters],
            "suspects": self._suspects,
            "present": self._present,
            "arrivals": self._arrivals.state(),
            "waves": self._waves.state(),
            "kin": self._kin.state(),
        }

    def twin(self, state: Any) -> Sweeper:
        """Return another with these settings that remembers a state.  Raise ValueError for what is none."""
        other = Sweeper(new_s=self._new_s, sensitivity=self._sensitivity)
        other.usual = self.usual
        other._take_state(state)
        return other

    def _take_state(self, state: Any) -> None:
        usual = self.usual
        if not isinstance(state["usual"], float):
            usual = None if state["usual"] is None else calibration.unpack(state["usual"])
        elif usual is None or usual.at != state["usual"]:
            raise ValueError("what is usual to another is not known here")
        known = [clusters.read_cluster(usual, *cluster) for cluster in state["clusters"][:CLUSTERS_MAX]]
        present = state["present"]
        if present is not None:
            centre, drift = present
            present = check_array(centre, np.float32, WIDTH), check_array(drift, np.float32, WIDTH, None)
        calibrated, reached = state["limits"]
        limits = calibration.Limits(bool(calibrated), {str(test): float(most) for test, most in reached.items()})
        suspects = {str(name): float(last) for name, last in state["suspects"].items()}
        self._arrivals.take_state(*state["arrivals"])
        self._waves.take_state(state.get("waves", ()))
        self._kin.take_state(*state.get("kin", ({}, 0.0)))
        self.usual, self.limits, self.clusters, self._suspects = usual, limits, known, suspects
        if usual is not None and present is not None:
            self._prepare(usual, *present)

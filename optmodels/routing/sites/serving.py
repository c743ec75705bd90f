"""One site, second by second: servers, the places in their batches, and the power they draw.

A *server* is an instance of the model on some GPUs. It runs a row of the profile, or is off; it
holds as many requests at once as the row's batch, by Little's law λ times the time in the system.
Requests of a row wait in one queue per row and site, first come, first served; whose first token
could only be late when the turn comes is dropped. What a site should
run is a *target*: numbers of servers by row. Getting there takes care of the requests in service:

- a server that turns to another row (clock, batch, class) goes on with them at the new speed, and
  takes new ones as places become free;
- a server that is no longer wanted takes no new ones and goes off when the last is done, so long as
  there is power for it;
- a server that the power forces off loses what it has in service at once; what waits is scheduled
  anew;
- a new server loads for the time of a reload, and only when there are GPUs for it.

The power after each step is at most what there is: what would draw more waits, and what is too much
goes off, servers that only finish first.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import numpy as np

from optmodels.routing.sites.profile import IntArray, Profile

OFF = -1
#: Sums of power may differ by rounding, relative to themselves.
_ROUNDING = 1e-9


def places_of(profile: Profile) -> IntArray:
    """Requests that a server of each row holds at once: λ times the time in the system, (R,)."""
    places: IntArray = np.maximum(np.rint(profile.rate * profile.e2e), 1).astype(np.int64)
    return places


class Requests(Protocol):
    """What a site asks of the simulation that owns the requests."""

    def begin(self, request: int, row: int, now: float) -> None:
        """Start a request on a server that runs a row."""

    def in_time(self, request: int, row: int, now: float) -> bool:
        """Whether the first token could still be in time if the request began now."""

    def give_up(self, request: int) -> None:
        """Drop a request that has waited for too long."""

    def change_speed(self, request: int, before: int, after: int, now: float) -> None:
        """Go on with a request in service at the speed of another row."""

    def lose(self, request: int) -> None:
        """Give up a request in service."""


class Server:
    """One instance of the model.

    Attributes
    ----------
    degree
        Place of its number of GPUs among the profile's degrees.
    ready
        Time at which it has loaded [s].
    row
        Row that it runs, or `OFF`.
    held
        Requests in service.
    leaving
        Whether it takes no new requests and goes off when it is empty.
    offered
        Places that stand open for new requests.
    offer
        Number of the present offer: places of an earlier one are void.
    """

    __slots__ = ("degree", "held", "leaving", "offer", "offered", "ready", "row")

    def __init__(self, degree: int, ready: float) -> None:
        self.degree, self.ready, self.row = degree, ready, OFF
        self.held: set[int] = set()
        self.leaving = False
        self.offered = self.offer = 0


class Site:
    """Servers, queues and power of one site.

    Parameters
    ----------
    profile
        Rows.
    gpus
        GPUs of the site.
    idle_kw
        Power of a configured GPU that does not run [kW].
    reload_s
        Time to load a server [s].
    requests
        Owner of the requests.
    """

    def __init__(
        self, profile: Profile, gpus: int, idle_kw: float, reload_s: float, requests: Requests
    ) -> None:
        self._gpus, self._reload_s, self._requests = gpus, reload_s, requests
        self._places: list[int] = places_of(profile).tolist()
        self._kw: list[float] = profile.kw.tolist()
        self._class: list[int] = profile.row_class.tolist()
        self._degree: list[int] = profile.degree_of.tolist()
        self._tp: list[int] = profile.degrees.tolist()
        self._idle_kw: list[float] = (idle_kw * profile.degrees).tolist()
        self.servers: list[Server] = []
        self.owner: dict[int, Server] = {}
        self.waiting: dict[int, deque[int]] = {}
        #: Servers that take requests, by row.
        self.active: dict[int, int] = {}
        self.reloads = 0
        self._offers: dict[int, deque[tuple[Server, int]]] = {}
        self._started = False
        self._settled_at: tuple[bytes, bytes] | None = None

    @property
    def draw_kw(self) -> float:
        """Power that the site draws [kW]."""
        return sum(
            self._idle_kw[server.degree] if server.row == OFF else self._kw[server.row]
            for server in self.servers
        )

    # ------------------------------------------------------------------------------ requests
    def queue(self, row: int) -> int:
        """Requests that wait for a row; -1 where one more would start at once."""
        offers = self._offers.get(row)
        while offers:
            server, offer = offers[0]
            if server.offer == offer:
                return -1
            offers.popleft()
        waiting = self.waiting.get(row)
        return len(waiting) if waiting else 0

    def accept(self, request: int, row: int, now: float) -> None:
        """Start a request on a row, or let it wait for one."""
        if self.queue(row) >= 0:
            self.waiting.setdefault(row, deque()).append(request)
            return
        server, _ = self._offers[row].popleft()
        server.offered -= 1
        self._start(server, request, now)

    def finish(self, request: int, now: float) -> None:
        """Take a request that is done out of its server, and let the next one in."""
        server = self.owner.pop(request)
        server.held.discard(request)
        if server.leaving:
            if not server.held:
                self._turn(server, OFF, now)
        elif len(server.held) + server.offered < self._places[server.row]:
            self._open(server, now)

    def _start(self, server: Server, request: int, now: float) -> None:
        server.held.add(request)
        self.owner[request] = server
        self._requests.begin(request, server.row, now)

    def _open(self, server: Server, now: float) -> None:
        """Give one place of a server to who waits, or offer it."""
        waiting = self.waiting.get(server.row)
        while waiting:
            request = waiting.popleft()
            if self._requests.in_time(request, server.row, now):
                self._start(server, request, now)
                return
            self._requests.give_up(request)
        self._offers.setdefault(server.row, deque()).append((server, server.offer))
        server.offered += 1

    # ------------------------------------------------------------------------------- servers
    def step(
        self, now: float, target: IntArray, configured: IntArray, limit_kw: float
    ) -> list[int] | None:
        """Go towards a target, within the power.

        Parameters
        ----------
        now
            Time [s].
        target
            Servers by row, shape (R,).
        configured
            Servers by degree, running or not, shape (G,).
        limit_kw
            Power there is.

        Returns
        -------
        list or None
            Requests whose queue has no server any more; None where nothing has changed.
        """
        limit_kw *= 1 + _ROUNDING
        wish = (target.tobytes(), configured.tobytes())
        if self._settled_at == wish and self.draw_kw <= limit_kw:
            return None
        self._configure(now, configured)
        missing = self._match(now, target)
        self._shed(now, limit_kw)
        self._raise(now, missing, limit_kw)
        self._open_loaded(now)
        self._count()
        self._settled_at = wish if self._settled(now, target, configured) else None
        return self._orphans()

    def _configure(self, now: float, configured: IntArray) -> None:
        """Give up servers that are off and not wanted; load new ones where there are GPUs."""
        for degree, wanted in enumerate(configured.tolist()):
            mine = [server for server in self.servers if server.degree == degree]
            idle = [server for server in mine if server.row == OFF]
            # Those that have loaded least go first.
            idle.sort(key=lambda server: -server.ready)
            for server in idle[: max(len(mine) - wanted, 0)]:
                self.servers.remove(server)
        free = self._gpus - sum(self._tp[server.degree] for server in self.servers)
        for degree, wanted in enumerate(configured.tolist()):
            have = sum(server.degree == degree for server in self.servers)
            new = max(min(wanted - have, free // self._tp[degree]), 0)
            free -= new * self._tp[degree]
            ready = now + self._reload_s if self._started else now
            self.servers += [Server(degree, ready) for _ in range(new)]
            self.reloads += new if self._started else 0
        self._started = True

    def _match(self, now: float, target: IntArray) -> list[tuple[int, Server | None]]:
        """Turn servers that are too many into those that are missing; let the others leave.

        Returns
        -------
        list
            What still has to be done and takes more power: the row, and the server that turns to
            it, None for one that is off now.
        """
        by_row: dict[int, list[Server]] = {}
        spare: list[Server] = []
        for server in self.servers:
            if server.leaving:
                spare.append(server)
            elif server.row != OFF:
                by_row.setdefault(server.row, []).append(server)
        missing: list[int] = []
        wanted = {int(row): int(target[row]) for row in np.flatnonzero(target)}
        for row, servers in by_row.items():
            extra = len(servers) - wanted.get(row, 0)
            if extra > 0:
                # Those with least to lose.
                spare += sorted(servers, key=lambda server: len(server.held))[:extra]
        for row, count in wanted.items():
            missing += [row] * max(count - len(by_row.get(row, ())), 0)
        missing.sort(key=lambda row: self._kw[row])
        later: list[tuple[int, Server | None]] = []
        for row in missing:
            fits = [server for server in spare if server.degree == self._degree[row]]
            if not fits:
                later.append((row, None))
                continue
            best = min(
                fits,
                key=lambda server: (
                    self._class[server.row] != self._class[row],
                    abs(self._kw[server.row] - self._kw[row]),
                ),
            )
            spare.remove(best)
            if self._kw[row] <= self._kw[best.row]:
                self._turn(best, row, now)
            else:
                later.append((row, best))
        for server in spare:
            if server.held:
                server.leaving = True
                self._withdraw(server)
            else:
                self._turn(server, OFF, now)
        return later

    def _shed(self, now: float, limit_kw: float) -> None:
        """Force servers off until the power suffices, those that are leaving first."""
        draw = self.draw_kw
        if draw <= limit_kw:
            return
        running = [server for server in self.servers if server.row != OFF]
        running.sort(key=lambda server: (not server.leaving, len(server.held)))
        for server in running:
            if draw <= limit_kw:
                return
            for request in server.held:
                del self.owner[request]
                self._requests.lose(request)
            server.held.clear()
            draw += self._idle_kw[server.degree] - self._kw[server.row]
            self._turn(server, OFF, now)
        # Without power even those that idle warm are given up.
        while self.servers and self.draw_kw > limit_kw:
            self.servers.pop()

    def _raise(self, now: float, missing: list[tuple[int, Server | None]], limit_kw: float) -> None:
        """Do what takes more power, as far as there is any."""
        free = limit_kw - self.draw_kw
        off = [server for server in self.servers if server.row == OFF]
        # The loaded ones first.
        off.sort(key=lambda server: -server.ready)
        for row, found in missing:
            server = found
            if server is None or server.row == OFF:
                mine = [one for one in off if one.degree == self._degree[row]]
                if not mine:
                    continue
                server = mine[-1]
            drawn = self._idle_kw[server.degree] if server.row == OFF else self._kw[server.row]
            if self._kw[row] - drawn > free:
                continue
            free -= self._kw[row] - drawn
            if server.row == OFF:
                off.remove(server)
            self._turn(server, row, now)

    def _turn(self, server: Server, row: int, now: float) -> None:
        """Let a server run another row, or go off; what it has in service goes on."""
        before = server.row
        self._withdraw(server)
        server.row, server.leaving = row, False
        if row == OFF:
            return
        for request in server.held:
            self._requests.change_speed(request, before, row, now)
        if server.ready <= now:
            for _ in range(self._places[row] - len(server.held)):
                self._open(server, now)

    def _withdraw(self, server: Server) -> None:
        """Take back the places that a server offers."""
        server.offer += 1
        server.offered = 0

    def _open_loaded(self, now: float) -> None:
        """Offer the places of servers that have loaded by now and have not offered any yet."""
        for server in self.servers:
            idle = not server.held and not server.offered
            if idle and server.row != OFF and not server.leaving and server.ready <= now:
                for _ in range(self._places[server.row]):
                    self._open(server, now)

    def _count(self) -> None:
        self.active = {}
        for server in self.servers:
            if server.row != OFF and not server.leaving:
                self.active[server.row] = self.active.get(server.row, 0) + 1

    def _settled(self, now: float, target: IntArray, configured: IntArray) -> bool:
        """Whether nothing is left to do for these wishes."""
        found = np.zeros_like(target)
        for row, count in self.active.items():
            found[row] = count
        held = np.zeros_like(configured)
        for server in self.servers:
            held[server.degree] += 1
        return bool(
            np.array_equal(found, target)
            and np.array_equal(held, configured)
            and not any(server.leaving or server.ready > now for server in self.servers)
        )

    def _orphans(self) -> list[int]:
        """Requests that wait for a row that no server runs any more; they are taken away."""
        alone = [row for row in self.waiting if not self.active.get(row)]
        return [request for row in alone for request in self.waiting.pop(row)]

"""A minimal event loop with virtual time, and processes on it that can be killed and stopped between any two callbacks.

One heap of (time, draw, number): what is due at the same moment runs in an order drawn from the seed. Nothing here waits for real.
"""

import asyncio
import contextvars
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

PROCESS: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("process", default=None)


class Process:
    """Whatever was started in its context dies and stops with it, without a word: no `finally` runs, no answer is heard."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.is_stopped = False
        self.parked: list[Handle] = []
        self.tasks: list[asyncio.Task[Any]] = []

    def kill(self) -> None:
        """kill -9."""
        self.is_dead = True

    def stop(self) -> None:
        """SIGSTOP."""
        self.is_stopped = True

    def resume(self, loop: "Loop") -> None:
        """SIGCONT: what became due meanwhile happens now."""
        self.is_stopped = False
        if self.is_dead:
            return
        parked, self.parked = self.parked, []
        for handle in parked:
            loop.again(handle)


class Handle:
    """A callback that knows whose it is."""

    def __init__(self, callback: Callable[..., Any], args: Any, context: contextvars.Context | None) -> None:
        self._callback, self._args = callback, args
        self._context = contextvars.copy_context() if context is None else context
        self._is_cancelled = False

    def cancel(self) -> None:
        """It will not be called."""
        self._is_cancelled = True

    def cancelled(self) -> bool:
        """Whether it will not be called."""
        return self._is_cancelled

    def run(self) -> None:
        """Call it, or leave it with its process when that is dead or stopped."""
        process = self._context.get(PROCESS)
        if process is not None and (process.is_dead or process.is_stopped):
            process.parked.append(self)
        elif not self._is_cancelled:
            self._context.run(self._callback, *self._args)


class Loop:
    """As much of an event loop as tasks, futures and timeouts ask for. `random` breaks ties of timers and says how long work in a thread takes."""

    def __init__(self, random: Random) -> None:
        self._itself: Any = self  # asyncio asks for its abstract class, of which nobody needs most here
        self._random = random
        self._now = 0.0
        self._number = 0
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[float, float, int, Handle]] = []
        self._processes: list[Process] = []
        self.errors: list[str] = []
        self.callbacks = 0

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._now

    def again(self, handle: Handle) -> None:
        """Run a parked handle soon."""
        self._ready.append(handle)

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None) -> Any:
        """Behind what is ready already."""
        handle = Handle(callback, args, context)
        self._ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None) -> Any:
        """After so many virtual seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None) -> Any:
        """At a virtual time."""
        handle = Handle(callback, args, context)
        self._number += 1
        heapq.heappush(self._timers, (when, self._random.random(), self._number, handle))
        return handle

    def create_future(self) -> "asyncio.Future[Any]":
        """A future of this loop."""
        return asyncio.Future(loop=self._itself)

    def create_task(self, coro: Any, *, name: str | None = None, context: contextvars.Context | None = None) -> Any:
        """A task of this loop; remembered by its process, so that nothing collects it while it can no longer run."""
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self._itself, name=name, context=context)
        process = (context or contextvars.copy_context()).get(PROCESS)
        if process is not None:
            process.tasks.append(task)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Work of a thread: done at once when its time has come, unless the process died before."""
        future = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                result = func(*args)
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.call_later(self._random.uniform(0.0005, 0.03), work)
        return future

    def run_until_complete(self, future: Any) -> Any:
        """Run until it is done. Raises RuntimeError when nothing is left that could do it."""
        task = future if isinstance(future, asyncio.Future) else self.create_task(future)
        events._set_running_loop(self._itself)
        try:
            while not task.done():
                self._turn()
        finally:
            events._set_running_loop(None)
        return task.result()

    def spawn(self, process: Process, work: Coroutine[Any, Any, Any]) -> Any:
        """Start something as a process of its own."""
        self._processes.append(process)
        context = contextvars.Context()
        context.run(PROCESS.set, process)
        return self.create_task(work, name=process.name, context=context)

    def close(self) -> None:
        """The run is over: every process unwinds, so that no coroutine is left to complain."""
        left = [task for process in self._processes for task in process.tasks if not task.done()]
        for process in self._processes:
            process.is_dead = False
            process.resume(self)
        for task in left:
            task.cancel()
        if left:
            self.run_until_complete(asyncio.wait(left))

    def _turn(self) -> None:
        if not self._ready:
            if not self._timers:
                raise RuntimeError("nothing is left to happen, and the run is not over")
            when, _, _, handle = heapq.heappop(self._timers)
            self._now = max(self._now, when)
            if not handle.cancelled():
                self._ready.append(handle)
        while self._ready:
            handle = self._ready.popleft()
            self.callbacks += 1
            handle.run()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What nobody caught."""
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """While somebody asks, it runs."""
        return True

    def is_closed(self) -> bool:
        """Never closed: it holds nothing."""
        return False

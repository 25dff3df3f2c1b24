//! The data threads as other threads hold them: which one has a session, and having things done there.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use rivulet_core::inboxes::{Inboxes, ThreadNumber};
use rivulet_core::node::{Directory, Node, SessionId};
use rivulet_udp::Waker;

use crate::census::Census;
use crate::connections::Connections;
use crate::data_thread::{Command, DataThread};
use crate::errors::Failure;
use crate::events::EventQueue;

/// How long a data thread may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// A session goes to another thread once, its directory entry with it.
const ATTEMPTS: usize = 3;
/// Words that wait for a thread before bursts and datagrams for it are left out.
const DEPTH: usize = 16_384;

struct Line {
    /// None: shut down.
    commands: Mutex<Option<Sender<Command>>>,
    waker: Arc<Waker>,
}

pub struct Crew {
    lines: Vec<Line>,
    directory: Directory,
    next: AtomicUsize,
}

impl Crew {
    /// One data thread for each socket, the first with the listener, which takes connections for all; `congestion`: of relays' connections; `node` makes its node.
    ///
    /// # Errors
    /// When the system is out of something.
    pub fn start(
        sockets: Vec<UdpSocket>,
        (mut listener, most_connections, congestion): (Option<TcpListener>, usize, &str),
        events: &Arc<EventQueue>,
        node: impl Fn() -> Node,
    ) -> io::Result<Self> {
        let directory = Directory::default();
        let wakers = sockets.iter().map(|_| Waker::new().map(Arc::new)).collect::<io::Result<Vec<_>>>()?;
        let ends = Inboxes::mesh(sockets.len(), DEPTH).into_iter().zip(Inboxes::mesh(sockets.len(), DEPTH));
        let census = Census::new(most_connections);
        let crossings = Inboxes::mesh(sockets.len(), DEPTH);
        let mut lines = Vec::new();
        for ((socket, crossing), (sessions, streams)) in sockets.into_iter().zip(crossings).zip(ends) {
            let me = sessions.me();
            let node = node().linked(sessions, streams, directory.clone());
            let (commands, queue) = channel::<Command>();
            let connections = Connections::new(listener.take(), census.clone(), crossing, congestion.to_owned());
            let data = DataThread::new(node, (socket, connections), wakers.clone(), queue, events.clone())?;
            thread::Builder::new().name(format!("rivulet-data-{me}")).spawn(move || data.run())?;
            lines.push(Line { commands: Mutex::new(Some(commands)), waker: wakers[me].clone() });
        }
        Ok(Self { lines, directory, next: AtomicUsize::new(0) })
    }

    /// The threads in turn: where the next session begins.
    pub fn next(&self) -> ThreadNumber {
        self.next.fetch_add(1, Ordering::Relaxed) % self.lines.len()
    }

    /// Have something done on one thread.
    pub fn call<T: Send + 'static>(
        &self,
        thread: ThreadNumber,
        action: impl FnOnce(&mut DataThread, Instant) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        self.ask(thread, action)?.recv_timeout(ANSWER).map_err(|_| Failure::Stopped)
    }

    /// Have something done where the session is; wherever, if there is none.
    pub fn call_for<T: Send + 'static, A>(&self, id: SessionId, action: A) -> Result<T, Failure>
    where
        A: FnOnce(&mut DataThread, Instant) -> T + Send + 'static,
    {
        let mut action = action;
        for _ in 0..ATTEMPTS {
            let thread = self.directory.thread_of(id).unwrap_or(0);
            let done =
                self.call(
                    thread,
                    move |data, now| {
                        if data.node.is_elsewhere(id) { Err(action) } else { Ok(action(data, now)) }
                    },
                )?;
            match done {
                Ok(answer) => return Ok(answer),
                Err(not_here) => action = not_here,
            }
        }
        Err(Failure::UnknownSession)
    }

    /// Have something done on all threads, at the same time; their answers in order.
    pub fn call_all<T: Send + 'static, A>(&self, action: A) -> Result<Vec<T>, Failure>
    where
        A: Fn(&mut DataThread, Instant) -> T + Clone + Send + 'static,
    {
        let asked: Vec<Receiver<T>> =
            (0..self.lines.len()).map(|thread| self.ask(thread, action.clone())).collect::<Result<_, _>>()?;
        asked.into_iter().map(|answer| answer.recv_timeout(ANSWER).map_err(|_| Failure::Stopped)).collect()
    }

    /// Close all sessions and stop the threads; waits for them at most `timeout`. Idempotent.
    pub fn shut_down(&self, timeout: Duration) {
        let (done, finished) = sync_channel::<()>(1);
        for line in &self.lines {
            let Some(commands) = line.take_commands() else { continue };
            let done = done.clone();
            let stop: Command = Box::new(move |data, now| {
                data.node.shut_down(now);
                data.stop(done);
            });
            if commands.send(stop).is_ok() {
                line.waker.wake();
            }
        }
        drop(done);
        // Disconnected is the sign: the threads are over, goodbyes and all.
        let _ = finished.recv_timeout(timeout);
    }

    fn ask<T: Send + 'static>(
        &self,
        thread: ThreadNumber,
        action: impl FnOnce(&mut DataThread, Instant) -> T + Send + 'static,
    ) -> Result<Receiver<T>, Failure> {
        let line = self.lines.get(thread).ok_or(Failure::Stopped)?;
        let commands = line.commands.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (answer, answered) = sync_channel(1);
        let command: Command = Box::new(move |data, now| {
            // The caller may have given up: then nobody wants the answer.
            let _ = answer.send(action(data, now));
        });
        commands.ok_or(Failure::Stopped)?.send(command).map_err(|_| Failure::Stopped)?;
        line.waker.wake();
        Ok(answered)
    }
}

impl Line {
    fn take_commands(&self) -> Option<Sender<Command>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // Without a sender a thread stops at its next turn.
        for line in &self.lines {
            drop(line.take_commands());
            line.waker.wake();
        }
    }
}

//! Waiting for sockets (epoll) and being woken (eventfd).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

const BATCH: usize = 64;

/// What a registered descriptor is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
}

/// A set of descriptors to wait for.
pub struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    /// # Errors
    /// When the process is out of descriptors.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor was just made and belongs to nobody else.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { epoll })
    }

    /// Wait for `source` to be readable.
    ///
    /// # Errors
    /// When it is registered already.
    pub fn add(&self, source: &impl AsRawFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, source.as_raw_fd(), libc::EPOLLIN, token)
    }

    /// Wait for `source` to be writable too, or no longer.
    ///
    /// # Errors
    /// When it is not registered.
    pub fn want_writable(&self, source: &impl AsRawFd, token: u64, writable: bool) -> io::Result<()> {
        let events = if writable { libc::EPOLLIN | libc::EPOLLOUT } else { libc::EPOLLIN };
        self.control(libc::EPOLL_CTL_MOD, source.as_raw_fd(), events, token)
    }

    /// Forget `source` (closing it does so too).
    ///
    /// # Errors
    /// When it is not registered.
    pub fn remove(&self, source: &impl AsRawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, source.as_raw_fd(), 0, 0)
    }

    /// Wait at most `timeout`; microseconds count.
    ///
    /// # Errors
    /// What the kernel says; an interrupted wait is none.
    pub fn wait(&self, timeout: Duration) -> io::Result<Vec<Ready>> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        match self.wait_precisely(&mut events, timeout) {
            Ok(count) => Ok(events[..count].iter().map(ready).collect()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn wait_precisely(&self, events: &mut [libc::epoll_event; BATCH], timeout: Duration) -> io::Result<usize> {
        let time = libc::timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        // SAFETY: `events` has room for BATCH entries, `time` outlives the call, no signal mask is given.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.as_raw_fd(),
                events.as_mut_ptr(),
                BATCH,
                &raw const time,
                std::ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    fn control(&self, operation: i32, fd: RawFd, events: i32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events.cast_unsigned(), u64: token };
        // SAFETY: both descriptors are open and `event` outlives the call.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &raw mut event) }).map(drop)
    }
}

fn ready(event: &libc::epoll_event) -> Ready {
    // Errors and hang-ups show on the next read.
    let bits = event.events.cast_signed();
    Ready {
        token: event.u64,
        readable: bits & (libc::EPOLLIN | libc::EPOLLERR | libc::EPOLLHUP) != 0,
        writable: bits & libc::EPOLLOUT != 0,
    }
}

/// An eventfd: makes another thread's wait end, or tells Python that there is something.
pub struct Waker {
    event: OwnedFd,
}

impl Waker {
    /// # Errors
    /// When the process is out of descriptors.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the descriptor was just made and belongs to nobody else.
        let event = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { event })
    }

    /// Make it readable.
    pub fn wake(&self) {
        let one: u64 = 1;
        // SAFETY: eight bytes of a live variable. It fails only when the counter is full: then it is readable anyway.
        unsafe { libc::write(self.event.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
    }

    /// Make it unreadable.
    pub fn clear(&self) {
        let mut count: u64 = 0;
        // SAFETY: room for eight bytes. It fails only when there is nothing to clear.
        unsafe { libc::read(self.event.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
    }
}

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Wait for what is on its way to `source`: a busy machine's loopback delivers later than the call that sent returns.
#[cfg(test)]
pub(crate) fn wait_readable(source: &impl AsRawFd) {
    let poller = Poller::new().unwrap();
    poller.add(source, 1).unwrap();
    assert_eq!(poller.wait(Duration::from_secs(5)).unwrap().len(), 1, "nothing came");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waker_ends_a_wait_until_it_is_cleared() {
        let poller = Poller::new().unwrap();
        let waker = Waker::new().unwrap();
        poller.add(&waker, 7).unwrap();
        assert_eq!(poller.wait(Duration::ZERO).unwrap(), vec![]);
        waker.wake();
        waker.wake();
        assert_eq!(poller.wait(Duration::ZERO).unwrap(), vec![Ready { token: 7, readable: true, writable: false }]);
        waker.clear();
        assert_eq!(poller.wait(Duration::ZERO).unwrap(), vec![]);
    }
}

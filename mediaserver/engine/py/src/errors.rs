//! Refusals as Python exceptions.

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use rivulet_core::negotiation::Refusal;
use rivulet_core::node::{Full, LegError, PatchError, PullError, TraceError};

create_exception!(rivulet_media._engine, EngineError, PyException, "Base of what the engine refuses.");
create_exception!(rivulet_media._engine, OfferError, EngineError, "SDP that cannot be parsed or breaks WHIP/WHEP.");
create_exception!(rivulet_media._engine, UnsupportedError, EngineError, "Well-formed, but not possible.");
create_exception!(rivulet_media._engine, LimitError, EngineError, "Too many sessions or pending handshakes.");
create_exception!(rivulet_media._engine, UnknownSessionError, EngineError, "No such session, or it has ended.");
create_exception!(rivulet_media._engine, UsedSsrcError, EngineError, "An SSRC cannot be a new leg's.");

create_exception!(rivulet_media._engine, NoTcpError, EngineError, "This node takes no media over TCP.");

/// What a call can fail with.
#[derive(Debug)]
pub enum Failure {
    Refused(Refusal),
    Full(Full),
    UnknownSession,
    TooManyTraces,
    UsedSsrc,
    /// A relay over TCP alone, of a node that takes none.
    NoTcp,
    /// The data thread is gone or does not answer.
    Stopped,
    System(std::io::Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Full> for Failure {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

impl From<PullError> for Failure {
    fn from(error: PullError) -> Self {
        match error {
            PullError::UnknownSession => Self::UnknownSession,
            PullError::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

impl From<LegError> for Failure {
    fn from(error: LegError) -> Self {
        match error {
            LegError::UnknownLink => Self::UnknownSession,
            LegError::UsedSsrc => Self::UsedSsrc,
            LegError::Full(full) => Self::Full(full),
            LegError::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

impl From<TraceError> for Failure {
    fn from(error: TraceError) -> Self {
        match error {
            TraceError::UnknownSession => Self::UnknownSession,
            TraceError::TooMany => Self::TooManyTraces,
        }
    }
}

impl From<PatchError> for Failure {
    fn from(error: PatchError) -> Self {
        match error {
            PatchError::UnknownSession => Self::UnknownSession,
            PatchError::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::System(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(Refusal::Malformed(text)) => OfferError::new_err(text),
            Failure::Refused(Refusal::Unsupported(text)) => UnsupportedError::new_err(text),
            Failure::Full(Full::Sessions) => LimitError::new_err("this node has as many sessions as it may"),
            Failure::Full(Full::Handshakes) => LimitError::new_err("too many sessions are being set up right now"),
            Failure::UnknownSession => UnknownSessionError::new_err("no such session, or it has ended"),
            Failure::UsedSsrc => UsedSsrcError::new_err("an SSRC is 0, said twice, or was used on this link before"),
            Failure::TooManyTraces => LimitError::new_err("it is being traced already, or eight others are"),
            Failure::NoTcp => {
                NoTcpError::new_err("this node takes no media over TCP: let it, or set the stream's transport to udp")
            }
            Failure::Stopped => EngineError::new_err("the engine is shut down"),
            Failure::System(error) => error.into(),
        }
    }
}

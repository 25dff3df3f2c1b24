//! The binding `rivulet_media._engine`: conversion between Python's words and the engine's, nothing else.
//!
//! What it means is written in `_engine.pyi`.

mod census;
mod connection;
mod connections;
mod convert;
mod crew;
mod data_thread;
mod dialling;
mod engine;
mod errors;
mod events;
mod figures;
mod handle;
mod link_values;
mod links;
mod moving;
mod random;

use pyo3::prelude::*;

#[pymodule]
mod _engine {
    #[pymodule_export]
    use crate::engine::{Engine, playable};
    #[pymodule_export]
    use crate::errors::{
        EngineError, LimitError, NoTcpError, OfferError, UnknownSessionError, UnsupportedError, UsedSsrcError,
    };
}

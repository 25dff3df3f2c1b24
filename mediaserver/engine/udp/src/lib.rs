//! System calls of the engine: the only crate with unsafe code.

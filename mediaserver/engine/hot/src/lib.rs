//! What the fan-out does for every packet, near the machine: memory fetched ahead, and keys whose place is known.

mod gcm;
mod prefetch;

pub use gcm::{GcmKey, TAG};
pub use prefetch::prefetch;

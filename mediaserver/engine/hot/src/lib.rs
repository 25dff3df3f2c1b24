//! What the fan-out does for every packet, near the machine: memory in large pages and fetched ahead, and keys whose place is known.

mod gcm;
mod large;
mod prefetch;

pub use gcm::{GcmKey, TAG};
pub use large::LargeBox;
pub use prefetch::prefetch;

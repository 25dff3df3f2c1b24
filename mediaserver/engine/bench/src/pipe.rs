//! The control channel to whoever leads the benchmark: messages of UTF-8 text behind a 32-bit big-endian length.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};

/// Longest message that is believed.
const LONGEST: usize = 1 << 20;

/// stdin and stdout, unbuffered: what the poller says of stdin is the whole truth.
pub struct Pipe {
    input: File,
    output: File,
}

impl Pipe {
    pub fn standard() -> io::Result<Self> {
        let input = io::stdin().as_fd().try_clone_to_owned()?.into();
        let output = io::stdout().as_fd().try_clone_to_owned()?.into();
        Ok(Self { input, output })
    }

    /// The next message, waiting for it; None: the leader has closed its end.
    pub fn receive(&mut self) -> io::Result<Option<String>> {
        read_message(&mut self.input)
    }

    pub fn send(&mut self, text: &str) -> io::Result<()> {
        self.output.write_all(&message(text)?)
    }

    /// Send a question and wait for its answer.
    pub fn ask(&mut self, question: &str) -> io::Result<String> {
        self.send(question)?;
        self.receive()?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl AsRawFd for Pipe {
    fn as_raw_fd(&self) -> RawFd {
        self.input.as_raw_fd()
    }
}

fn message(text: &str) -> io::Result<Vec<u8>> {
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes(), text.as_bytes()].concat())
}

fn read_message(input: &mut impl Read) -> io::Result<Option<String>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::Error::other("a message that is too long"));
    }
    let mut text = vec![0; length];
    input.read_exact(&mut text)?;
    String::from_utf8(text).map(Some).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_and_then_nothing() {
        let bytes = [message("offer v=0\r\n").unwrap(), message("").unwrap()].concat();
        let mut input = bytes.as_slice();
        assert_eq!(read_message(&mut input).unwrap().as_deref(), Some("offer v=0\r\n"));
        assert_eq!(read_message(&mut input).unwrap().as_deref(), Some(""));
        assert_eq!(read_message(&mut input).unwrap(), None);
    }

    #[test]
    fn a_length_beyond_all_measure_is_an_error() {
        assert!(read_message(&mut [0xff_u8; 8].as_slice()).is_err());
    }
}

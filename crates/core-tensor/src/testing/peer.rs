//! Another implementation in a process of its own, asked line by line: for benches that time both in turn.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A Python process that answers each line with one line.
#[derive(Debug)]
pub struct Peer {
    process: Child,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts `script` with the interpreter that the environment variable `PEER_PYTHON` names, and the number of threads
    /// of this process as its argument. `None` without that variable.
    ///
    /// # Panics
    /// If the interpreter does not start.
    pub fn start(script: &str) -> Option<Self> {
        let python = std::env::var_os("PEER_PYTHON")?;
        let mut process = Command::new(python)
            .args([script, &crate::cpu::threads().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("PEER_PYTHON is a Python interpreter");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        Some(Self { process, answers })
    }

    /// The answer to a request.
    ///
    /// # Panics
    /// If the process has ended.
    pub fn ask(&mut self, request: &str) -> String {
        let input = self.process.stdin.as_mut().expect("piped");
        writeln!(input, "{request}").expect("the peer listens");
        let mut line = String::new();
        let read = self.answers.read_line(&mut line).expect("the peer answers");
        assert!(read > 0, "the peer ended at {request:?}");
        // Its threads spin a while after their work.
        std::thread::sleep(Duration::from_millis(20));
        line
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

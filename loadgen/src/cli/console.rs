//! Standard output and input of a driver: events as lines, and the two lines that it waits for.

use crate::events::{Event, GO, SUM_UP};
use crate::run::Stop;
use std::io::{self, BufRead, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// How often a driver that waits for a line looks whether it was told to stop.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub struct Console {
    prints: bool,
    /// Lines of the standard input; closed at its end. None without a handshake.
    lines: Option<Receiver<String>>,
    stop: Stop,
    output: Output,
    printing: io::Result<()>,
}

/// Where a driver's lines come from, and where its events or its summary go.
pub type Input = Box<dyn BufRead + Send>;
pub type Output = Box<dyn Write>;

impl Console {
    /// `input` is read only if there is a handshake.
    pub fn new(prints: bool, handshake: bool, input: Input, output: Output, stop: Stop) -> Self {
        Self {
            prints,
            lines: handshake.then(|| lines(input)),
            stop,
            output,
            printing: Ok(()),
        }
    }

    /// Prints an event, and waits where the handshake wants that.
    pub fn see(&mut self, event: &Event) {
        if !self.prints {
            return;
        }
        if self.printing.is_ok() {
            self.printing = self.print_line(event);
            if self.printing.is_err() {
                // The process that read the events is gone, so the rest of the run is of no use.
                self.stop.stop();
            }
        }
        match event {
            Event::Ready { .. } if !self.waited_for(GO) => self.stop.stop(),
            Event::Ended { .. } => {
                self.waited_for(SUM_UP);
            }
            _ => {}
        }
    }

    /// Prints a text for people.
    pub fn print(&mut self, text: &str) {
        if self.printing.is_ok() {
            self.printing = self.output.write_all(text.as_bytes());
        }
    }

    /// Whether everything could be printed.
    pub fn finish(self) -> io::Result<()> {
        self.printing
    }

    fn print_line(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.output.write_all(&line)?;
        self.output.flush()
    }

    /// Whether the line came, before the end of the input and before the run was told to stop (once
    /// more). Without a handshake it always has.
    fn waited_for(&self, wanted: &str) -> bool {
        let Some(lines) = &self.lines else {
            return true;
        };
        let level = self.stop.level();
        loop {
            match lines.recv_timeout(LOOK_EVERY) {
                Ok(line) if line.trim() == wanted => return true,
                Ok(line) => eprintln!("expected {wanted:?}, and got {line:?}"),
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) if self.stop.level() != level => return false,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// The lines of the input, read by a thread that ends with it or with the process.
fn lines(input: Input) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in input.lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

//! What a panic says on stderr: its thread, its place and its words, without the passwords of
//! addresses that are among them.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

/// From now on panics of this process are told without passwords, to be called once.
pub fn tell_masked() {
    panic::set_hook(Box::new(|panic| eprintln!("{}", told(panic))));
}

/// What somebody panicked with, without passwords.
pub fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    database::masked_lines(text.unwrap_or("without words"))
}

fn told(panic: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let name = thread.name().unwrap_or("without a name");
    let place = panic
        .location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let mut told = format!(
        "thread {name} panicked at {place}: {}",
        words(panic.payload())
    );
    // As RUST_BACKTRACE asks for.
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        told.push_str(&format!("\n{trace}"));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_panic_are_told_without_passwords() {
        let told = |panic: Box<dyn Any + Send>| words(&*panic);
        assert_eq!(told(Box::new("no luck")), "no luck");
        let with_url = "cannot use redis://:sesame@cache/\nnor mysql://u:sesame@db/x".to_owned();
        assert_eq!(
            told(Box::new(with_url)),
            "cannot use redis://:***@cache/\nnor mysql://u:***@db/x"
        );
        assert_eq!(told(Box::new(5)), "without words");
    }
}

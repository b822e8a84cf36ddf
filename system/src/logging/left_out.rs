//! Keeps a flood of equal warnings and errors from the log: what is left out is told once a second,
//! as a count.

use super::throttle::{EVERY, Throttle};
use anyhow::Context as _;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

/// The lines that tell the counts; they are never left out.
const OWN: &str = "seckill::left_out";

static WARNINGS: AtomicU64 = AtomicU64::new(0);
static ERRORS: AtomicU64 = AtomicU64::new(0);

/// Warnings and errors that were left out since the start.
pub fn counts() -> (u64, u64) {
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    (of(&WARNINGS), of(&ERRORS))
}

/// Lets one warning or error of each place in the sources pass in a second.
#[derive(Debug)]
pub struct LeftOut {
    kinds: Arc<Mutex<Throttle<Place>>>,
    /// Told when something is left out.
    news: SyncSender<()>,
}

/// A place in the sources.
#[derive(Clone, Copy, Debug)]
struct Place(&'static Metadata<'static>);

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.0.callsite() == other.0.callsite()
    }
}

impl Eq for Place {}

impl Hash for Place {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.callsite().hash(hasher);
    }
}

impl LeftOut {
    /// Starts the thread that tells what was left out.
    pub fn start() -> anyhow::Result<Self> {
        let (news, heard) = mpsc::sync_channel(1);
        let kinds = Arc::new(Mutex::new(Throttle::new()));
        let counted = kinds.clone();
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || tell(&heard, &counted))
            .context("cannot start a thread")?;
        Ok(Self { kinds, news })
    }

    fn admits(&self, metadata: &'static Metadata<'static>) -> bool {
        if *metadata.level() > Level::WARN || metadata.target() == OWN {
            return true;
        }
        let is_admitted = lock(&self.kinds).admit(Place(metadata), Instant::now());
        if !is_admitted {
            let count = match *metadata.level() {
                Level::ERROR => &ERRORS,
                _ => &WARNINGS,
            };
            count.fetch_add(1, Ordering::Relaxed);
            // Full: it is known already.
            let _ = self.news.try_send(());
        }
        is_admitted
    }
}

impl<S: Subscriber> Filter<S> for LeftOut {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        self.admits(event.metadata())
    }
}

/// Until nobody leaves anything out any more.
fn tell(heard: &Receiver<()>, kinds: &Mutex<Throttle<Place>>) {
    while heard.recv().is_ok() {
        std::thread::sleep(EVERY);
        let left_out = lock(kinds).take_left_out();
        for (Place(place), count) in left_out {
            let (file, line) = (place.file().unwrap_or_default(), place.line());
            let line = line.unwrap_or_default();
            let (level, place) = (place.level(), format!("{file}:{line}"));
            tracing::warn!(target: OWN, count, %level, place, "lines left out");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::time::Duration;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::{Layer, registry};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Log {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn fail(times: u64) {
        for _ in 0..times {
            tracing::warn!("the server is away");
        }
    }

    #[test]
    fn a_flood_of_one_failure_is_a_line_and_other_lines_pass() {
        let log = Log::default();
        let left_out = LeftOut::start().expect("a thread");
        let kinds = left_out.kinds.clone();
        let lines = tracing_subscriber::fmt::layer().with_writer(log.clone());
        let subscriber = registry().with(lines.with_filter(left_out));
        let (before, _) = counts();
        let began = Instant::now();
        tracing::subscriber::with_default(subscriber, || {
            fail(100);
            tracing::error!("something else");
            tracing::info!("the same");
            tracing::info!("the same");
        });
        let text = String::from_utf8(lock(&log.0).clone()).expect("UTF-8");
        let times = |line: &str| text.matches(line).count();
        assert_eq!(
            (times("something else"), times("the same")),
            (1, 2),
            "{text}"
        );
        // On a machine that stands still for seconds there may be more.
        if began.elapsed() < Duration::from_secs(1) {
            assert_eq!(times("the server is away"), 1, "{text}");
            assert!(counts().0 >= before + 99);
            let left_out = lock(&kinds).take_left_out();
            assert_eq!(left_out.len(), 1);
        }
    }
}

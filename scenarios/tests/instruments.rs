//! The instruments that a result relies on, held against what is known: processes that burn a known
//! amount of CPU, share a core, or stand still. This binary is its own known process: it runs itself
//! again as a burner, which tells by its own clock what it has used.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use reports::result::{Usage, UsageSource};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use scenarios::usage::{Counters, MachineCounters, SAMPLE_PERIOD, Ticker, proc};

/// What the burner is to do.
const PLAN: &str = "INSTRUMENTS_BURNER";
/// In front of everything that the burner says; the test harness writes to the same pipe.
const SAID: &str = "burner: ";

const NAME: &str = "burner";
/// What reading the counters and telling a figure may cost beside the burning.
const OVERHEAD: Duration = Duration::from_millis(8);
/// Children that have ended are counted in ticks of 10 ms, for user and system time each, at either
/// end of the window.
const TICKS: Duration = Duration::from_millis(40);

#[test]
fn a_known_burner_is_measured() {
    let mut burner = Burner::start("one", &[]);
    let (usage, told, window) = burner.measure();
    assert_near(usage.cpu_ns(), told, OVERHEAD);
    assert_eq!(usage.source, Some(UsageSource::ProcessClock));
    let busiest = usage.busiest_thread.expect("a thread");
    assert_eq!(busiest.name, "burns_as_asked");
    let share = told.as_secs_f64() / window.as_secs_f64();
    assert!((busiest.share - share).abs() < 0.1, "{busiest:?} {share}");
    assert!(usage.peak_rss_bytes > 100 * 1024);
}

#[test]
fn threads_that_have_ended_count_and_the_busiest_is_named() {
    let mut burner = Burner::start("threads", &[]);
    let (usage, told, _) = burner.measure();
    assert!(told >= Duration::from_millis(600), "{told:?}");
    assert_near(usage.cpu_ns(), told, OVERHEAD);
    assert_eq!(usage.busiest_thread.expect("a thread").name, "busy-one");
}

#[test]
fn a_child_that_came_and_went_counts_once() {
    let mut burner = Burner::start("brief-child", &[]);
    let (usage, told, _) = burner.measure();
    assert!(told >= Duration::from_millis(300), "{told:?}");
    // The child's own start and end are not in what it tells.
    assert_near(usage.cpu_ns(), told, TICKS + 4 * OVERHEAD);
}

/// What the child used before the window is in its parent's sum afterwards, and not in the window's.
#[test]
fn a_child_that_ends_within_the_window_counts_from_its_beginning() {
    let mut burner = Burner::start("old-child", &[]);
    let (usage, told, _) = burner.measure();
    assert!(told >= Duration::from_millis(300), "{told:?}");
    assert_near(usage.cpu_ns(), told, TICKS + 4 * OVERHEAD);
}

#[test]
fn two_burners_on_one_core_wait_for_each_other() {
    let core = allowed_core().to_string();
    let pinned = ["taskset", "-c", core.as_str()];
    let mut burners = [Burner::start("one", &pinned), Burner::start("one", &pinned)];
    let before = burners.each_ref().map(Burner::counters);
    burners.iter_mut().for_each(Burner::go);
    let told: Duration = burners.iter_mut().map(Burner::told).sum();
    let after = burners.each_ref().map(Burner::counters);
    let waited_ns: u64 = std::iter::zip(&after, &before)
        .map(|(after, before)| after.since(before)[NAME].runqueue_wait_ns.expect("told"))
        .sum();
    // Each waits while the other one runs, or they ran one after the other on a busy machine, and
    // then waited for somebody else.
    assert!(
        waited_ns as f64 > told.as_nanos() as f64 * 0.25,
        "{waited_ns} ns of waiting for {told:?} of work"
    );
}

#[test]
fn a_stall_is_missed_samples_and_no_cpu() {
    let stall = 6 * SAMPLE_PERIOD;
    let mut burner = Burner::start("ticker", &[]);
    burner.go();
    burner.signal(Signal::STOP);
    burner.wait_until_stopped();
    let before = burner.counters();
    let frozen = Instant::now();
    while frozen.elapsed() < stall {
        std::thread::sleep(SAMPLE_PERIOD / 4);
    }
    let after = burner.counters();
    burner.signal(Signal::CONT);
    assert!(after.window_ns(&before) >= stall.as_nanos() as u64);
    let usage = &after.since(&before)[NAME];
    assert_eq!((usage.cpu_ns(), usage.switches_forced), (0, Some(0)));
    burner.go();
    // Of the six samples that fell into the stall, at least four were later than a period.
    let missed = burner.said("missed");
    assert!(missed >= 4, "{missed} samples missed");
}

#[test]
fn what_a_stranger_burns_is_foreign() {
    let mut burner = Burner::start("one", &[]);
    let before = MachineCounters::read().expect("/proc/stat");
    let counters = burner.counters();
    burner.go();
    let told = burner.told();
    let used = burner.counters().since(&counters);
    let after = MachineCounters::read().expect("/proc/stat");
    let with_stranger = after.since(&before, &Default::default(), 0);
    let without = after.since(&before, &used, 0);
    let told_ns = told.as_nanos() as u64;
    // Ticks of 10 ms, sampled on each core.
    assert!(
        with_stranger.foreign_cpu_ns > told_ns * 8 / 10,
        "{with_stranger:?}"
    );
    assert!(
        with_stranger.foreign_cpu_ns - without.foreign_cpu_ns > told_ns * 8 / 10,
        "{with_stranger:?} {without:?}"
    );
}

#[test]
fn a_process_that_has_ended_keeps_what_it_used() {
    let mut burner = Burner::start("one", &[]);
    let before = burner.counters();
    burner.go();
    let told = burner.told();
    let last = burner.counters();
    burner.finish();
    let gone = burner.counters();
    assert!(gone.since(&before).is_empty());
    let kept = gone.with_missing_from(&last).since(&before);
    assert_near(kept[NAME].cpu_ns(), told, OVERHEAD);
}

/// Not a test by itself: the known process. Without a plan there is nothing to do.
#[test]
fn burns_as_asked() {
    let Ok(plan) = std::env::var(PLAN) else {
        return;
    };
    let mut prepared_child = (plan == "old-child").then(|| Burner::start("one-after-one", &[]));
    let ticker = (plan == "ticker").then(|| Ticker::start().expect("a thread"));
    if plan == "one-after-one" {
        burn(Duration::from_millis(300));
    }
    println!("{SAID}ready");
    wait_for_line();
    let begin = own_cpu();
    let mut of_children = Duration::ZERO;
    match plan.as_str() {
        "one" => burn(Duration::from_millis(500)),
        "one-after-one" => burn(Duration::from_millis(300)),
        "threads" => {
            let ended = std::thread::spawn(|| burn(Duration::from_millis(150)));
            ended.join().expect("burns");
            let burned = [("calm", 100), ("busy-one", 350)].map(|(name, ms)| stays(name, ms));
            for burned in burned {
                burned.recv().expect("burns");
            }
        }
        "brief-child" | "old-child" => {
            let child = prepared_child.take();
            let mut child = child.unwrap_or_else(|| Burner::start("one-after-one", &[]));
            child.go();
            of_children = child.told();
            if plan == "brief-child" {
                // All of it lies within the window.
                of_children += Duration::from_millis(300);
            }
            child.finish();
        }
        "ticker" => {
            wait_for_line();
            let ticker = ticker.expect("started");
            let woken = Instant::now();
            while ticker.missed() < 4 && woken.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(SAMPLE_PERIOD);
            }
            println!("{SAID}missed {}", ticker.missed());
        }
        other => panic!("no plan {other:?}"),
    }
    let told = own_cpu().saturating_sub(begin) + of_children;
    println!("{SAID}told {}", told.as_nanos());
    wait_for_line();
}

/// A thread that burns, says so, and stays.
fn stays(name: &str, burn_ms: u64) -> std::sync::mpsc::Receiver<()> {
    let (done, burned) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name(name.to_owned());
    let body = move || {
        burn(Duration::from_millis(burn_ms));
        let _ = done.send(());
        loop {
            std::thread::park();
        }
    };
    thread.spawn(body).expect("a thread");
    burned
}

/// Uses this much CPU on this thread, however long that takes.
fn burn(cpu: Duration) {
    let end = cpu_of(ClockId::ThreadCPUTime) + cpu;
    while cpu_of(ClockId::ThreadCPUTime) < end {
        std::hint::spin_loop();
    }
}

fn own_cpu() -> Duration {
    cpu_of(ClockId::ProcessCPUTime)
}

fn cpu_of(clock: ClockId) -> Duration {
    clock_gettime(clock).try_into().expect("a positive time")
}

fn wait_for_line() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a pipe");
}

/// The first core that this process may run on.
fn allowed_core() -> u32 {
    let own = procfs::process::Process::myself().expect("/proc/self");
    let allowed = own.status().expect("status").cpus_allowed_list;
    allowed
        .and_then(|ranges| Some(ranges.first()?.0))
        .expect("a core")
}

fn assert_near(measured_ns: u64, told: Duration, overhead: Duration) {
    let apart = Duration::from_nanos(measured_ns).abs_diff(told);
    assert!(
        apart <= told.mul_f64(0.03) + overhead,
        "{measured_ns} ns measured, {told:?} told"
    );
}

/// The known process, seen from outside.
struct Burner {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Burner {
    /// Returns when it is ready and waits. `launcher` stands in front of its command line.
    fn start(plan: &str, launcher: &[&str]) -> Self {
        let own = std::env::current_exe().expect("this binary");
        let own = own.to_str().expect("a plain path");
        let line = [launcher, &[own, "--exact", "burns_as_asked", "--nocapture"]].concat();
        let mut child = Command::new(line[0])
            .args(&line[1..])
            .env(PLAN, plan)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the burner starts");
        let mut burner = Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().expect("piped")),
            child,
        };
        burner.line("ready");
        burner
    }

    /// What it used from now until it tells, what it tells, and the window.
    fn measure(&mut self) -> (Usage, Duration, Duration) {
        let before = self.counters();
        self.go();
        let told = self.told();
        let after = self.counters();
        let window = Duration::from_nanos(after.window_ns(&before));
        (after.since(&before)[NAME].clone(), told, window)
    }

    fn counters(&self) -> Counters {
        Counters::new().with_tree(NAME, &proc::all(), self.child.id())
    }

    fn go(&mut self) {
        let stdin = self.stdin.as_mut().expect("open");
        stdin.write_all(b"go\n").expect("it lives");
    }

    fn told(&mut self) -> Duration {
        Duration::from_nanos(self.said("told"))
    }

    /// The number that it says of `what`.
    fn said(&mut self, what: &str) -> u64 {
        self.line(what).trim().parse().expect("a number")
    }

    /// The rest of the line in which it says `what`.
    fn line(&mut self, what: &str) -> String {
        loop {
            let mut line = String::new();
            let bytes = self.stdout.read_line(&mut line).expect("a pipe");
            assert!(bytes > 0, "the burner ended before it said {what:?}");
            let said = line.split_once(SAID).map(|(_, said)| said);
            if let Some(rest) = said.and_then(|said| said.strip_prefix(what)) {
                return rest.to_owned();
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it lives");
    }

    /// Each thread stops by itself, the last one a little later than the first.
    fn wait_until_stopped(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let pid = i32::try_from(self.child.id()).expect("a pid");
        let all_stopped = || {
            let process = procfs::process::Process::new(pid).expect("it lives");
            let mut tasks = process.tasks().expect("threads").flatten();
            tasks.all(|task| task.stat().is_ok_and(|stat| stat.state == 'T'))
        };
        while !all_stopped() {
            assert!(Instant::now() < deadline, "not stopped");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets it end, and waits until it is gone.
    fn finish(&mut self) {
        self.stdin = None;
        let mut rest = Vec::new();
        self.stdout.read_to_end(&mut rest).expect("a pipe");
        assert!(self.child.wait().expect("a child").success());
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

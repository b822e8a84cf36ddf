//! What the driver itself costs: CPU per request against a server that does nothing, in a process
//! of its own. `cargo run --release -p loadgen --example cpu_per_request -- [requests]
//! [concurrency] [connections] [reply after ms]`

#[path = "../tests/drive/server.rs"]
#[allow(dead_code)]
mod server;

use loadgen::data::{DataSpec, Encoded, generate};
use loadgen::grpc::drive;
use loadgen::plan::LoadPlan;
use loadgen::run::Stop;
use reports::result::DRIVER;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

type AnyError = Box<dyn std::error::Error>;

fn main() -> Result<(), AnyError> {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return serve();
    }
    let argument = |at: usize, default: u64| -> Result<u64, AnyError> {
        Ok(std::env::args()
            .nth(at)
            .map(|text| text.parse())
            .transpose()?
            .unwrap_or(default))
    };
    let (requests, concurrency, connections) =
        (argument(1, 200_000)?, argument(2, 500)?, argument(3, 200)?);
    let late_ms = argument(4, 0)?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["serve", &late_ms.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut address = String::new();
    BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut address)?;
    let data = generate(&DataSpec::default())?;
    let data = Arc::new(Encoded::new(data));
    let plan = LoadPlan {
        connections: connections.try_into()?,
        keep_outcomes: true,
        report: true,
        ..LoadPlan::closed(address.trim(), concurrency.try_into()?, requests)
    };
    println!(
        "{requests} requests, {concurrency} in flight, {connections} connections, replies after {late_ms} ms, outcomes kept, events on"
    );
    for round in 1..=3 {
        let measured = drive(&plan, Arc::clone(&data), &Stop::default(), &mut |_| {})?;
        let phase = &measured.phase;
        let driver = &phase.usage[DRIVER];
        let latencies = phase.headline_latencies();
        let quantile_us = |quantile| latencies.quantile_ns(quantile).unwrap_or(0) / 1_000;
        println!(
            "round {round}: {:.2} µs driver CPU per request, {:.0} requests/s, P50 {} µs, P99 {} µs, {:?}, {} MiB",
            driver.cpu_ns() as f64 / 1e3 / phase.finished as f64,
            phase.finished_per_s(),
            quantile_us(0.5),
            quantile_us(0.99),
            phase.outcomes(),
            driver.peak_rss_bytes >> 20,
        );
    }
    drop(child.stdin.take());
    child.wait()?;
    Ok(())
}

/// Serves until standard input closes, which it does when the parent ends, however it ends.
fn serve() -> Result<(), AnyError> {
    let late = Duration::from_millis(std::env::args().nth(2).ok_or("no delay")?.parse()?);
    let server = server::Server::start("127.0.0.1:0", move |request| match late {
        Duration::ZERO => server::Answer::Accept(request.user_id),
        late => server::Answer::Late(late, request.user_id),
    });
    println!("{}", server.address);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

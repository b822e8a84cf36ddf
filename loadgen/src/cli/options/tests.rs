//! What can be said on the command line, and what contradicts itself.

use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    load: LoadGrpc,
}

fn parse(args: &str) -> std::result::Result<LoadGrpc, clap::Error> {
    Cli::try_parse_from(std::iter::once("grpc").chain(args.split_whitespace())).map(|cli| cli.load)
}

fn plan(args: &str) -> LoadPlan {
    let plan = parse(args).expect(args).plan().expect(args);
    plan.check().expect(args);
    plan
}

#[test]
fn defaults_are_those_of_ghz() {
    let plan = plan("--seed 3 localhost:50053");
    let mut expected = LoadPlan::closed("localhost:50053", 50, 200);
    expected.seed = 3;
    expected.data = Data::Generated(DataSpec {
        seed: 3,
        ..DataSpec::default()
    });
    assert_eq!(plan, expected);
}

#[test]
fn every_shape_can_be_said() {
    for (args, expected) in [
        ("--rate 1000", Shape::Constant { rate_per_s: 1e3 }),
        (
            "--rate 1000 --shape poisson",
            Shape::Poisson { rate_per_s: 1e3 },
        ),
        (
            "--shape step --rates 1000,2000,4000",
            Shape::Step {
                rates_per_s: vec![1e3, 2e3, 4e3],
            },
        ),
        (
            "--shape line --rates 10,20",
            Shape::Line {
                from_per_s: 10.0,
                to_per_s: 20.0,
            },
        ),
    ] {
        let plan = plan(&format!("{args} -z 1.5s h:1"));
        assert_eq!(plan.end, End::Time(Duration::from_millis(1_500)));
        let Arrival::Open { shape, .. } = plan.arrival else {
            panic!("{args}: a closed loop");
        };
        assert_eq!(shape, expected, "{args}");
    }
    let spike = plan("--shape spike --buyers 300000 h:1");
    assert_eq!(spike.end, End::Count(300_000));
    let Arrival::Open { backlog_max, .. } = spike.arrival else {
        panic!("a closed loop");
    };
    assert_eq!(backlog_max, 300_000, "nobody is dropped at the door");
}

#[test]
fn several_products_are_ids_and_ranges() {
    let Data::Generated(spec) = plan("--products 7,1-3 --zipf 1.1 h:1").data else {
        panic!("no generated data");
    };
    assert_eq!(spec.products, [7, 1, 2, 3]);
    assert_eq!(spec.popularity, Popularity::Zipf(1.1));
}

#[test]
fn what_contradicts_itself_is_wrong_usage() {
    for args in [
        "--data-file f.json --users 1 h:1",
        "-n 5 -z 1s h:1",
        "-c 5 --rate 10 h:1",
        "--think 1s --rate 10 h:1",
        "--rate 10 --rates 1,2 --shape step h:1",
        "--buyers 5 h:1",
        "--shape spike --buyers 5 -n 6 h:1",
        "--product 1 --products 1,2 h:1",
        "--zipf 1 h:1",
        "--handshake h:1",
        "--plan f.json -c 5",
        "--plan f.json h:1",
        "--timeout 20 h:1",
        "",
    ] {
        assert!(parse(args).is_err(), "{args}");
    }
    for (args, part) in [
        ("--backlog 5 h:1", "--backlog is for an open loop"),
        ("--shape poisson h:1", "--shape poisson needs --rate"),
        (
            "--shape line --rates 5 h:1",
            "--shape line needs two --rates",
        ),
        ("--shape spike --rate 5 h:1", "--shape spike needs --buyers"),
        ("--products 3-1 h:1", "products are ids of at least 1"),
        (
            "--rate 2e7 h:1",
            "a rate must be 0.001 to 1000000 per second",
        ),
        (
            "-c 5 --connections 6 h:1",
            "connections must be at most the concurrency (5), got 6",
        ),
        ("-n 0 h:1", "requests must be at least 1"),
        ("-c 0 h:1", "concurrency must be 1 to"),
        ("-t 61s h:1", "timeout must be 10 ms to 60 s"),
        ("--threads 0 h:1", "threads must be 1 to"),
        ("nowhere", "the address must be HOST:PORT"),
    ] {
        let args = parse(&format!("--seed 1 {args}")).expect(args);
        let fault = crate::cli::run(args).expect_err("refused");
        assert!(
            fault.is_usage() && fault.to_string().contains(part),
            "{part}: {fault}"
        );
    }
}

#[derive(Debug, Parser)]
struct HttpCli {
    #[command(flatten)]
    load: LoadHttp,
}

fn parse_http(args: &str) -> LoadHttp {
    let args = std::iter::once("http").chain(args.split_whitespace());
    HttpCli::try_parse_from(args).expect("understood").load
}

#[test]
fn over_http_there_are_as_many_connections_as_requests_under_way() {
    for (args, connections) in [
        ("h:1", 50),
        ("-c 7 h:1", 7),
        ("-c 7 --connections 3 h:1", 3),
        ("--rate 10 h:1", 200),
        ("--rate 10 --in-flight 40 h:1", 40),
        ("--rate 10 --connections 5 h:1", 5),
    ] {
        let load = parse_http(&format!("--seed 1 --jwt-secret-file key {args}")).load();
        assert_eq!(load.plan().expect(args).connections, connections, "{args}");
    }
    assert_eq!(plan("--seed 1 -c 7 h:1").connections, 1);
}

#[test]
fn a_plan_is_carried_out_over_its_own_protocol_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let written = |name: &str, plan: &LoadPlan| {
        let path = folder.path().join(name);
        let json = serde_json::to_vec(plan).expect("written");
        std::fs::write(&path, json).expect("written");
        path.display().to_string()
    };
    let grpc = LoadPlan::closed("127.0.0.1:1", 1, 1);
    let http = LoadPlan {
        http: Some(Http {
            secret_file: "key".into(),
            issuer: "seckill".to_owned(),
            audience: "seckill".to_owned(),
        }),
        ..grpc.clone()
    };
    let (grpc, http) = (written("grpc", &grpc), written("http", &http));
    let args = parse(&format!("--plan {http}")).expect("understood");
    let of_http = crate::cli::run(args).expect_err("refused");
    let of_grpc = crate::cli::run_http(parse_http(&format!("--plan {grpc}"))).expect_err("refused");
    for (fault, part) in [
        (of_http, "the plan is for HTTP, which is lab load http"),
        (
            of_grpc,
            "the plan says nothing about HTTP: it needs http.secret_file",
        ),
    ] {
        assert!(
            fault.is_usage() && fault.to_string().contains(part),
            "{fault}"
        );
    }
}

# The menu. Nearly every recipe is a thin layer over `cargo lab`, which does all the work and its own set-up.

# so that 'preallocated?block=1000&partitions=8' stays one word
set positional-arguments

# list the recipes
default:
    @just --list

# run a scenario against a stack it starts itself, audit it, print the table
[group('measure')]
bench scenario='laptop' *options:
    cargo lab bench "$@"

# what would be run, how long it takes, how much disk it needs
[group('measure')]
plan scenario='laptop' *options:
    cargo lab bench --dry-run "$@"

# every engine alone, by batch size and threads (criterion; a filter picks some)
[group('measure')]
bench-engines *filter:
    cargo bench -p engines --bench engines -- "$@"

# bytes of memory per buyer and engine
[group('measure')]
memory *options:
    cargo run --release -p engines --example memory -- "$@"

# hold results against the first of them
[group('measure')]
compare *options:
    cargo lab compare "$@"

# whether this commit is slower than another: PASS, FAIL or not known
[group('measure')]
regress *options:
    cargo lab regress "$@"

# send load to a system that runs already: `just load grpc --help`
[group('measure')]
load *options:
    cargo lab load "$@"

# the built-in scenarios
[group('look')]
scenarios:
    cargo lab scenarios

# the stock engines and their parameters
[group('look')]
engines:
    cargo lab engines

# a page for browsers beside each result
[group('look')]
report *options:
    cargo lab report "$@"

# sales, processes, queues, and what is left to be done, of the database that CONFIG_PATH or SECKILL__* name
[group('look')]
status *options:
    cargo run --release -p system --bin seckill -- status "$@"

# what this machine has and what each stack needs
[group('look')]
doctor:
    cargo lab doctor

# install redis-server, rabbitmq-server and MariaDB where that is allowed
[group('set up')]
setup:
    cargo lab setup

# start a private stack and leave it running until Ctrl-C
[group('set up')]
up *options:
    cargo lab up "$@"

# every test against real servers, then a tiny benchmark
[group('check')]
test:
    cargo lab test

# what CI runs
[group('check')]
ci:
    .ci/run

# formatting and lints only
[group('check')]
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

//! How many rounds of random kills there are, and the seed of all random choices. Environment
//! variables can set both.

const ROUNDS_VARIABLE: &str = "CRASH_ROUNDS";
const ROUNDS: u64 = 3;
const SEED_VARIABLE: &str = "CRASH_SEED";

/// A number from the environment, or `otherwise` if the variable is not set.
pub fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}

/// The number of rounds and the seed; both are printed.
pub fn from_environment() -> (u64, u64) {
    let rounds = number(ROUNDS_VARIABLE, ROUNDS);
    let seed = number(SEED_VARIABLE, rand::random::<u32>().into());
    eprintln!("{rounds} rounds, {SEED_VARIABLE}={seed}");
    (rounds, seed)
}

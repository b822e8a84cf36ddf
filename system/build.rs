//! Compiles the .proto files with a pure-Rust compiler: nobody needs protoc installed. Notes what
//! the binary is made of.

use std::{env, fs, path::PathBuf};

/// Whatever ends up in the binary.
const SOURCES: [&str; 9] = [
    "src",
    "proto",
    "migrations",
    "../engines/src",
    "../engines/sql",
    "../database/src",
    "../masking/src",
    "../Cargo.toml",
    "../Cargo.lock",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    identity::emit(&SOURCES);
    let files = [
        "seckill.proto",
        "inspect.proto",
        "events.proto",
        "order.proto",
        "product.proto",
        "auth.proto",
        "user.proto",
    ];
    let descriptors = protox::compile(files, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // The reflection service serves this file as it is.
    fs::write(out.join("descriptors.bin"), prost_bytes(&descriptors))?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_transport(false)
        .compile_fds(descriptors)?;
    Ok(())
}

fn prost_bytes(descriptors: &impl prost::Message) -> Vec<u8> {
    descriptors.encode_to_vec()
}

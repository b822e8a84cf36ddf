//! Compiles the client of the inspection service: the wire contract is all that the lab shares with
//! the system. Notes what the binary is made of.

/// Whatever ends up in the binary.
const SOURCES: [&str; 8] = [
    "src",
    "catalog",
    "../loadgen/src",
    "../reports/src",
    "../servers/src",
    "../masking/src",
    "../Cargo.toml",
    "../Cargo.lock",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    identity::emit(&SOURCES);
    let folder = "../system/proto";
    println!("cargo:rerun-if-changed={folder}/inspect.proto");
    let descriptors = protox::compile(["inspect.proto"], [folder])?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .compile_fds(descriptors)?;
    Ok(())
}

//! Compiles the client of the inspection service: the wire contract is all that the lab shares with
//! the system.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = "../system/proto";
    println!("cargo:rerun-if-changed={folder}/inspect.proto");
    let descriptors = protox::compile(["inspect.proto"], [folder])?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .compile_fds(descriptors)?;
    Ok(())
}

//! Every RPC that the protos name, without a token: which of them are answered all the same.

use super::shop::Shop;
use std::path::Path;
use tonic::Code;

/// These need none: who buys is known to the gateway in front, accounts begin without one, a refresh
/// carries its own, and products are for everybody to read.
const OPEN: [&str; 7] = [
    "/seckill.SeckillService/ExecuteSeckill",
    "/auth.AuthService/Register",
    "/auth.AuthService/Login",
    "/auth.AuthService/Refresh",
    "/product.ProductService/GetProduct",
    "/product.ProductService/ListProducts",
    "/product.ProductService/ListActiveSeckillProducts",
];

/// The path of every RPC in `system/proto`, but for those of the operators' listener.
fn rpcs() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).expect("a folder") {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let package = path.file_stem().expect("a name").to_string_lossy();
        let mut service = "";
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("service ") {
                service = rest.split([' ', '{']).next().unwrap_or_default();
            }
            if let Some(rest) = line.strip_prefix("rpc ") {
                let name = rest.split('(').next().unwrap_or_default();
                found.push(format!("/{package}.{service}/{name}"));
            }
        }
    }
    found.retain(|rpc| !rpc.starts_with("/inspect."));
    found.sort();
    found
}

#[tokio::test]
async fn every_rpc_takes_a_token_but_for_those_that_need_none() {
    Shop::open(async |shop: &Shop| {
        let all = rpcs();
        assert!(all.len() >= 21, "{all:?}");
        for open in OPEN {
            assert!(all.iter().any(|rpc| rpc == open), "there is no {open}");
        }
        for rpc in all {
            let code = shop.ask_nothing(&rpc).await.map_err(|status| status.code());
            let is_asked_for = code == Err(Code::Unauthenticated);
            let is_open = OPEN.contains(&rpc.as_str());
            assert_ne!(is_asked_for, is_open, "{rpc}: {code:?}");
            assert_ne!(code, Err(Code::Unimplemented), "{rpc}");
        }
    })
    .await;
}

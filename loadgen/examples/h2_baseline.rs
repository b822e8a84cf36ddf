use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let n: u64 = a[2].parse().unwrap();
    let (c, conns) = (500usize, 200usize);
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    rt.block_on(async {
        let mut senders = vec![];
        for _ in 0..conns {
            let s = tokio::net::TcpStream::connect(&a[1]).await.unwrap();
            s.set_nodelay(true).unwrap();
            let (tx, conn) = h2::client::Builder::new()
                .initial_window_size(16 << 20)
                .initial_connection_window_size(16 << 20)
                .handshake::<_, Bytes>(s)
                .await
                .unwrap();
            tokio::spawn(async move {
                let _ = conn.await;
            });
            senders.push(tx.ready().await.unwrap());
        }
        let next = Arc::new(AtomicU64::new(0));
        let req = http::Request::builder()
            .method("POST")
            .uri(format!("http://{}/seckill.SeckillService/ExecuteSeckill", a[1]))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .header("grpc-timeout", "20000m")
            .header("user-agent", "x")
            .body(())
            .unwrap();
        let cpu0 =
            std::fs::read_to_string("/proc/self/schedstat").unwrap().split(' ').next().unwrap().parse::<u64>().unwrap();
        let t0 = std::time::Instant::now();
        let mut js = tokio::task::JoinSet::new();
        for i in 0..c {
            let (mut tx, next, req) = (senders[i % conns].clone(), next.clone(), req.clone());
            js.spawn(async move {
                while next.fetch_add(1, Ordering::Relaxed) < n {
                    let (resp, mut s) = tx.send_request(req.clone(), false).unwrap();
                    s.send_data(Bytes::from_static(&[0, 0, 0, 0, 6, 8, 5, 16, 1, 24, 1]), true).unwrap();
                    let mut body = resp.await.unwrap().into_body();
                    while let Some(d) = body.data().await {
                        let d = d.unwrap();
                        let _ = body.flow_control().release_capacity(d.len());
                    }
                    body.trailers().await.unwrap();
                }
            });
        }
        js.join_all().await;
        let cpu1 =
            std::fs::read_to_string("/proc/self/schedstat").unwrap().split(' ').next().unwrap().parse::<u64>().unwrap();
        println!(
            "h2: {:.2} us/request, {:.0} req/s",
            (cpu1 - cpu0) as f64 / 1e3 / n as f64,
            n as f64 / t0.elapsed().as_secs_f64()
        );
    });
}

//! Which other sites may call the gateway from a browser.

use anyhow::{Context, bail, ensure};
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, Uri};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Every site.
const EVERY: &str = "*";
/// How long a browser need not ask again.
const MAX_AGE: Duration = Duration::from_secs(600);
const METHODS: [Method; 4] = [Method::GET, Method::POST, Method::PUT, Method::DELETE];
const TAKEN: [HeaderName; 3] = [AUTHORIZATION, CONTENT_TYPE, REQUEST_ID];
const SHOWN: [HeaderName; 2] = [REQUEST_ID, RETRY_AFTER];

/// Lets pages of these origins (`https://shop.example.org`) use the gateway; none: only its own.
/// `*` is every page, and stands alone.
///
/// A page has to hold its token and put it into each request. No browser adds anything by itself:
/// credentials are never allowed, so that a page of somebody else cannot act as its visitor, and `*`
/// gives away no more than what anybody can ask for.
pub fn cors_layer(origins: &[&str]) -> anyhow::Result<Option<CorsLayer>> {
    if origins.is_empty() {
        return Ok(None);
    }
    let layer = CorsLayer::new()
        .allow_methods(METHODS)
        .allow_headers(TAKEN)
        .expose_headers(SHOWN)
        .max_age(MAX_AGE);
    if origins.contains(&EVERY) {
        ensure!(
            origins.len() == 1,
            "{EVERY:?} is every origin; no other can stand beside it"
        );
        return Ok(Some(layer.allow_origin(Any)));
    }
    let origins = origins.iter().map(|origin| {
        parse(origin).with_context(|| {
            format!(
                "{origin:?} is no origin; one is like \"https://shop.example.org\", or {EVERY:?}"
            )
        })
    });
    let origins = origins.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Some(layer.allow_origin(AllowOrigin::list(origins))))
}

/// An origin as browsers write it: they are compared letter by letter.
fn parse(origin: &str) -> anyhow::Result<HeaderValue> {
    ensure!(
        !origin.bytes().any(|byte| byte.is_ascii_uppercase()),
        "it has capital letters"
    );
    let uri: Uri = origin.parse()?;
    let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority())
    else {
        bail!("it begins with neither http:// nor https://");
    };
    ensure!(
        !authority.as_str().contains(['@', '*']) && !authority.host().is_empty(),
        "what stands behind {scheme}:// is no host"
    );
    let usual = if scheme == "http" { 80 } else { 443 };
    ensure!(
        authority.port_u16() != Some(usual),
        "port {usual} is left out"
    );
    ensure!(
        origin == format!("{scheme}://{authority}"),
        "nothing stands behind the host and its port"
    );
    Ok(origin.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use http::{HeaderMap, Request, header};
    use tower_service::Service;

    async fn answer(origins: &[&str], method: Method, from: &str) -> HeaderMap {
        let layer = cors_layer(origins).expect("good origins").expect("some");
        let router = Router::new().route("/", get(async || ""));
        let mut router = router.layer(layer);
        let request = Request::builder()
            .method(method)
            .uri("/")
            .header(header::ORIGIN, from)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization")
            .body(Body::empty())
            .expect("a request");
        let answered = router.call(request).await.expect("infallible");
        answered.headers().clone()
    }

    fn allowed(headers: &HeaderMap) -> Option<&str> {
        let origin = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN)?;
        origin.to_str().ok()
    }

    const SHOP: &str = "https://shop.example.org";
    const OTHER: &str = "http://localhost:3000";

    #[tokio::test]
    async fn named_origins_are_allowed_and_no_others() {
        for method in [Method::GET, Method::OPTIONS] {
            for origin in [SHOP, OTHER] {
                let headers = answer(&[SHOP, OTHER], method.clone(), origin).await;
                assert_eq!(allowed(&headers), Some(origin));
            }
            for origin in [
                "https://evil.example",
                "null",
                "https://shop.example.org.evil.example",
            ] {
                let headers = answer(&[SHOP, OTHER], method.clone(), origin).await;
                assert_eq!(allowed(&headers), None, "{origin}");
            }
        }
        let asked = answer(&[SHOP], Method::OPTIONS, SHOP).await;
        let methods = asked[header::ACCESS_CONTROL_ALLOW_METHODS].to_str();
        assert_eq!(methods.expect("text"), "GET,POST,PUT,DELETE");
        let taken = asked[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str();
        assert_eq!(
            taken.expect("text"),
            "authorization,content-type,x-request-id"
        );
    }

    #[tokio::test]
    async fn credentials_are_never_allowed() {
        for origins in [&[SHOP][..], &[EVERY]] {
            for method in [Method::GET, Method::OPTIONS] {
                let headers = answer(origins, method, SHOP).await;
                assert!(allowed(&headers).is_some());
                assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
            }
        }
        let every = answer(&[EVERY], Method::GET, "https://anybody.example").await;
        assert_eq!(allowed(&every), Some(EVERY));
    }

    #[test]
    fn a_wrong_origin_is_named() {
        for wrong in [
            "",
            "null",
            "shop.example.org",
            "https://",
            "https://shop.example.org/",
            "https://shop.example.org/path",
            "https://shop.example.org?x",
            "https://Shop.example.org",
            "https://shop.example.org:443",
            "http://shop.example.org:80",
            "https://*.example.org",
            "https://user@shop.example.org",
            "ftp://shop.example.org",
            "https://shop example.org",
        ] {
            let refused = cors_layer(&[SHOP, wrong]).expect_err(wrong);
            let told = format!("{refused:#}");
            assert!(
                told.starts_with(&format!("{wrong:?} is no origin; ")),
                "{told}"
            );
        }
        assert!(cors_layer(&[]).expect("nothing wrong").is_none());
        let refused = cors_layer(&[EVERY, SHOP]).expect_err("both");
        assert!(refused.to_string().contains("no other can stand beside it"));
        for good in [
            SHOP,
            OTHER,
            "https://[2001:db8::1]:8443",
            "http://127.0.0.1",
        ] {
            cors_layer(&[good]).expect(good);
        }
    }
}

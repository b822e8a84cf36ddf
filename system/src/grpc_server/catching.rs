//! A handler that panics answers INTERNAL, and nothing of what it panicked with; whoever shares its
//! connection goes on.

use futures_util::FutureExt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::codegen::{Service, http::Response};
use tower::Layer;

/// Puts a [`Catching`] around a service.
#[derive(Clone, Copy, Debug)]
pub struct Catch;

impl<S> Layer<S> for Catch {
    type Service = Catching<S>;

    fn layer(&self, inner: S) -> Catching<S> {
        Catching(inner)
    }
}

/// A service whose panics are answers.
#[derive(Clone, Debug)]
pub struct Catching<S>(S);

impl<S, R, B> Service<R> for Catching<S>
where
    S: Service<R, Response = Response<B>>,
    S::Future: Unpin,
    B: Default,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        Answer(catch_unwind(AssertUnwindSafe(|| self.0.call(request))).ok())
    }
}

/// What is answered; nothing, if the service has panicked at once.
#[derive(Debug)]
pub struct Answer<F>(Option<F>);

impl<F, B, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, E>> + Unpin,
    B: Default,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(answer) = &mut self.0 else {
            return Poll::Ready(Ok(internal()));
        };
        match AssertUnwindSafe(answer).catch_unwind().poll_unpin(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(answer)) => Poll::Ready(answer),
            // The panic has been told on stderr.
            Poll::Ready(Err(_)) => Poll::Ready(Ok(internal())),
        }
    }
}

fn internal<B: Default>() -> Response<B> {
    Status::internal("something is wrong in this service").into_http()
}

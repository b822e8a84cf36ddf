# syntax=docker/dockerfile:1
# One image for every role of `seckill`: the role is the command, `docker run IMAGE create-consumer`.
#
# The lab is not in it. It starts servers of its own, compiles what it compares and needs root's
# tools for that, none of which belongs on a machine with customers; it runs from a checkout.

FROM rust:1.95-bookworm AS build
WORKDIR /src
# Instead of the commit that a build script would ask git for: .git is not in the context. Whoever
# builds names it: docker build --build-arg COMMIT=$(git rev-parse --short=12 HEAD) .
ARG COMMIT=""
ENV IDENTITY_COMMIT=$COMMIT
COPY . .
# The caches are of this machine; the binary is copied out of them, because they are in no layer.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --package system --bin seckill \
    && install -D --strip target/release/seckill /out/seckill

# glibc, CA certificates and time zones; no shell and no package manager. Its user `nonroot` is 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/seckill /usr/local/bin/seckill
USER 65532:65532
# gateway; auth, product, seckill, order, user; operators
EXPOSE 8080 50051 50052 50053 50054 50055 9100
# SIGTERM: what is under way is finished within 10 s (docs/deployment.md).
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/seckill"]
CMD ["--help"]
# Of the role that sells. docker-compose.yml and deploy/kubernetes name for each role its own.
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
    CMD ["/usr/local/bin/seckill", "health", "--address", "grpc://127.0.0.1:50053"]

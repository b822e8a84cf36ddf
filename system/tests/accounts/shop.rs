//! The auth, the user and the order role on a database of their own, and how they are asked.

use crate::config;
use database::{Database, NO_ARGS, PoolLimits};
use engines::Registry;
use std::net::SocketAddr;
use std::time::Duration;
use system::config::Config;
use system::listener::Listener;
use system::proto::auth::*;
use system::proto::user::{ChangePasswordRequest, ChangePasswordResponse};
use system::roles::{self, RoleConfig};
use system::shutdown::Shutdown;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic::{Request, Status};

/// Longest wait for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const RETRY: Duration = Duration::from_millis(20);
pub const PASSWORD: &str = "password123";
pub const SECRET: &str = "a key of more than thirty-two bytes, for tests";

/// The running roles.
pub struct Shop {
    pub config: Config,
    auth: SocketAddr,
    user: SocketAddr,
    order: SocketAddr,
}

impl Shop {
    /// Calls `body` while they run on the database at `url`, and stops them.
    pub async fn open(url: &str, body: impl AsyncFnOnce(&Self)) {
        let mut config = config::on(url.to_owned());
        config.jwt.secret = SECRET.to_owned();
        config.jwt.leeway_s = 0;
        config.jwt.revocation_interval_ms = 100;
        let registry = Registry::standard();
        let admin = roles::migrate::Admin::new("Admin", PASSWORD).expect("good");
        let seeds = roles::migrate::Seeds {
            development: true,
            ..Default::default()
        };
        // Twice: what is there stays.
        for _ in 0..2 {
            roles::migrate::with(&config, &registry, &seeds, Some(&admin))
                .await
                .expect("migrated");
        }
        let bound = |bind: fn(&Config) -> anyhow::Result<Listener>| bind(&config).expect("free");
        let (auth, user) = (bound(roles::auth::bind), bound(roles::user::bind));
        let order = bound(roles::order::bind);
        let shop = Self {
            auth: auth.address(),
            user: user.address(),
            order: order.address(),
            config: config.clone(),
        };
        let (stop, shutdown) = Shutdown::channel();
        let role = || RoleConfig {
            config: config.clone(),
            registry: registry.clone(),
            admin: Default::default(),
            sales: Default::default(),
            ready: Box::new(|_| Ok(())),
        };
        let serving = async {
            tokio::try_join!(
                roles::auth::run(role(), auth, shutdown.clone()),
                roles::user::run(role(), user, shutdown.clone()),
                roles::order::run(role(), order, shutdown.clone()),
            )
        };
        let trying = async {
            body(&shop).await;
            stop.send_replace(true);
        };
        let (served, ()) = tokio::join!(serving, trying);
        served.expect("all end well");
    }

    /// As somebody with this token; without one if it is empty.
    pub async fn ask<Q, R>(
        &self,
        method: &'static str,
        request: Q,
        token: &str,
    ) -> Result<R, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        R: prost::Message + Default + Send + Sync + 'static,
    {
        let address = match method {
            method if method.starts_with("/auth.") => self.auth,
            method if method.starts_with("/user.") => self.user,
            _ => self.order,
        };
        let mut request = Request::new(request);
        if !token.is_empty() {
            let value = format!("Bearer {token}").parse().expect("ASCII");
            request.metadata_mut().insert("authorization", value);
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let channel = endpoint.timeout(PATIENCE).connect().await;
        let mut client = tonic::client::Grpc::new(channel.expect("somebody listens"));
        client.ready().await.expect("it is ready");
        let codec = tonic_prost::ProstCodec::<Q, R>::default();
        let reply = client.unary(request, PathAndQuery::from_static(method), codec);
        reply.await.map(tonic::Response::into_inner)
    }

    pub async fn register(&self, username: &str) -> Result<User, Status> {
        let request = RegisterRequest {
            username: username.to_owned(),
            password: PASSWORD.to_owned(),
            email: "somebody@example.org".to_owned(),
            phone: "+4915112345678".to_owned(),
        };
        let told: RegisterResponse = self.ask("/auth.AuthService/Register", request, "").await?;
        assert_eq!((told.code, told.message.as_str()), (0, ""));
        Ok(told.user.expect("a user"))
    }

    pub async fn login(&self, username: &str, password: &str) -> Result<LoginResponse, Status> {
        let request = LoginRequest {
            username: username.to_owned(),
            password: password.to_owned(),
        };
        self.ask("/auth.AuthService/Login", request, "").await
    }

    pub async fn refresh(&self, token: &str) -> Result<String, Status> {
        let request = RefreshRequest {
            token: token.to_owned(),
        };
        let told = self.ask("/auth.AuthService/Refresh", request, "").await;
        told.map(|told: RefreshResponse| told.token)
    }

    pub async fn change_password(
        &self,
        token: &str,
        (user_id, old, new): (i64, &str, &str),
    ) -> Result<(), Status> {
        let request = ChangePasswordRequest {
            user_id,
            old_password: old.to_owned(),
            new_password: new.to_owned(),
        };
        let method = "/user.UserService/ChangePassword";
        let told = self.ask(method, request, token).await;
        told.map(|_: ChangePasswordResponse| ())
    }

    /// Everything that the table of users holds, as text.
    pub async fn users(&self) -> Vec<String> {
        let limits = PoolLimits {
            connections_max: 1,
            statement_max: PATIENCE,
            acquire_max: PATIENCE,
            lock_wait_max: None,
            idle_transaction_max: None,
        };
        let database = Database::open(&self.config.database.url, &limits).expect("a URL");
        let sql = "SELECT id, username, email, phone, password_hash, role, token_version, updated_at FROM users ORDER BY id";
        type Row = (i64, String, String, String, String, String, i64, i64);
        let rows: Vec<Row> = database.rows(sql, NO_ARGS).await.expect(sql);
        rows.iter().map(|row| format!("{row:?}")).collect()
    }
}

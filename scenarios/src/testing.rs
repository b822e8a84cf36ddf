//! Stacks for the lab's tests: `None` when a program is missing, as with the single servers of the
//! crate `servers`. They end with the test's process, however that ends.

use std::sync::OnceLock;

use crate::setup;
use crate::stack::{Stack, StackOptions};

/// All three servers, shared by the tests of one binary: use databases, queues and keys of your
/// own. Callable from inside a runtime and from outside; it blocks for some seconds the first time.
pub fn stack() -> Option<&'static Stack> {
    static STACK: OnceLock<Option<Stack>> = OnceLock::new();
    STACK.get_or_init(start).as_ref()
}

/// A stack of the test's own, for tests that break it.
pub async fn own_stack(options: &StackOptions) -> Option<Stack> {
    if let Some(reason) = missing() {
        servers::ignored(&reason);
        return None;
    }
    Some(Stack::start(options).await.expect("a stack"))
}

fn start() -> Option<Stack> {
    if let Some(reason) = missing() {
        servers::ignored(&reason);
        return None;
    }
    // A thread of its own, because a runtime cannot be entered twice. Nothing in a stack needs the
    // runtime later.
    let starting = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(Stack::start(&options())).expect("a stack")
    });
    Some(starting.join().expect("the stack starts"))
}

/// Tests never install.
pub fn options() -> StackOptions {
    StackOptions {
        install: false,
        ..StackOptions::default()
    }
}

fn missing() -> Option<String> {
    let missing = setup::find().missing();
    (!missing.is_empty()).then(|| {
        format!(
            "{} missing; cargo lab setup installs them",
            missing.join(", ")
        )
    })
}

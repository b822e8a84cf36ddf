//! The messages of a queue, in order.

/// Every request publishes at most once, and every reconciler waits for at most one marker.
pub const MESSAGES: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    Order(usize),
    /// An order that no consumer can read.
    Poison(usize),
    /// The marker of a reconciler.
    Marker(usize),
}

/// A short list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Messages([Option<Message>; MESSAGES]);

impl Messages {
    pub fn len(&self) -> usize {
        self.0.iter().flatten().count()
    }

    pub fn iter(&self) -> impl Iterator<Item = Message> + '_ {
        self.0.iter().flatten().copied()
    }

    pub fn push(&mut self, message: Message) {
        let len = self.len();
        self.0[len] = Some(message);
    }

    /// Cuts the first `count` off.
    pub fn cut(&mut self, count: usize) -> Messages {
        let mut front = Messages::default();
        front.0[..count].copy_from_slice(&self.0[..count]);
        self.0[..count].fill(None);
        self.0.rotate_left(count);
        front
    }

    pub fn append(&mut self, others: Messages) {
        others.iter().for_each(|message| self.push(message));
    }

    /// Takes `message` out; says where it was.
    pub fn remove(&mut self, message: Message) -> Option<usize> {
        let at = self.0.iter().position(|other| *other == Some(message))?;
        self.0[at..].rotate_left(1);
        self.0[MESSAGES - 1] = None;
        Some(at)
    }
}

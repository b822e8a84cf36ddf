//! How many changes may be asked for and not answered at the same time: of everybody, and of one
//! user, so that nobody keeps the others' out.

use engines::UserId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One user may fill one part in so many of all places.
const USER_SHARE: usize = 100;

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All are taken.
    Everybodys,
    /// This user has taken theirs.
    Theirs,
}

/// Bounded by `order.max_pending`.
#[derive(Debug)]
pub struct Places {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Nobody stands here who has taken none.
    by_user: HashMap<UserId, usize>,
}

/// The place of one change, free again when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    user: Option<UserId>,
}

impl Places {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            taken: Mutex::default(),
        })
    }

    /// A place, or what to say where there is none. Administrators, who name no user, share what
    /// there is for everybody.
    pub fn take(self: &Arc<Self>, user: Option<UserId>) -> Result<Place, Full> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.most {
            return Err(Full::Everybodys);
        }
        if let Some(user) = user {
            let of_user = taken.by_user.get(&user).copied().unwrap_or(0);
            if of_user >= self.most.div_ceil(USER_SHARE) {
                return Err(Full::Theirs);
            }
            taken.by_user.insert(user, of_user + 1);
        }
        taken.all += 1;
        let places = self.clone();
        Ok(Place { places, user })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let taken = self.places.taken.lock();
        let mut taken = taken.unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(user) = self.user
            && let Some(of_user) = taken.by_user.get_mut(&user)
        {
            *of_user -= 1;
            if *of_user == 0 {
                taken.by_user.remove(&user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, Changer};
    use super::*;
    use crate::store::{OrderChange, OrderWish};
    use engines::OrderId;
    use futures_util::FutureExt;
    use std::time::Duration;

    #[test]
    fn a_user_fills_their_share_and_nobody_elses_and_all_together_what_there_is() {
        let (changer, mut receiver) = Changer::of(1_000);
        // `None`: it waits, and is not looked at yet.
        let ask = |user: i64| {
            let change = OrderChange {
                order: OrderId(1),
                by: Some(UserId(user)),
                wish: OrderWish::Cancel,
            };
            changer.ask(change, Duration::ZERO).now_or_never()
        };
        for user in 1..=100 {
            assert!((0..10).all(|_| ask(user).is_none()), "user {user}");
            let told = match user {
                100 => Answer::Crowded,
                _ => Answer::UserCrowded,
            };
            assert_eq!(ask(user), Some(told), "user {user}");
        }
        assert_eq!(ask(101), Some(Answer::Crowded));
        // Also what is queued no more, and not answered yet, holds its place.
        let first = receiver.try_recv().unwrap();
        assert_eq!(ask(101), Some(Answer::Crowded));
        drop(first);
        assert_eq!(ask(101), None);
        receiver.close();
        while receiver.try_recv().is_ok() {}
        let taken = changer.places.taken.lock().unwrap();
        assert_eq!((taken.all, taken.by_user.len()), (0, 0));
    }
}

//! A map that never outgrows its bound: what has not been asked for lately goes first.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// Entries in two halves. What is asked for moves into the young half; when that is full the old one
/// is forgotten, and the young one is the old. A flood of keys that are asked for once pushes out
/// others like them, not what is asked for all the time.
#[derive(Debug)]
pub struct Recent<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    /// What the young half weighs.
    weight: usize,
    /// Most that both halves may weigh together.
    most: usize,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    /// Empty; `most` in whatever unit entries are weighed.
    pub fn new(most: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            weight: 0,
            most,
        }
    }

    /// The value of this key, which counts as asked for.
    pub fn get(&mut self, key: K) -> Option<&V> {
        if let Some((value, weight)) = self.old.remove(&key) {
            self.put(key, value, weight);
        }
        self.young.get(&key).map(|(value, _)| value)
    }

    /// Puts a value in place of what was there.
    pub fn put(&mut self, key: K, value: V, weight: usize) {
        self.remove(key);
        if self.weight + weight > self.most / 2 {
            self.old = mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight += weight;
        self.young.insert(key, (value, weight));
    }

    /// Forgets one.
    pub fn remove(&mut self, key: K) {
        self.old.remove(&key);
        if let Some((_, weight)) = self.young.remove(&key) {
            self.weight -= weight;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.most);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_all_the_time_survives_a_flood_of_what_is_asked_for_once() {
        let mut recent = Recent::new(100);
        recent.put(-1, "hot", 1);
        for key in 0..100_000 {
            recent.put(key, "cold", 1);
            assert!(recent.len() <= 100, "{}", recent.len());
            if key % 40 == 0 {
                assert_eq!(recent.get(-1), Some(&"hot"), "after {key}");
            }
        }
        assert_eq!(recent.get(99_999), Some(&"cold"));
        assert_eq!(recent.get(0), None);
    }

    #[test]
    fn the_bound_is_of_weight_and_what_is_put_twice_counts_once() {
        let mut recent = Recent::new(100);
        for _ in 0..1_000 {
            recent.put(1, "again", 20);
            recent.put(2, "again", 20);
        }
        assert_eq!(recent.len(), 2);
        for key in 0..1_000 {
            recent.put(key, "heavy", 30);
            assert!(recent.len() <= 3, "{}", recent.len());
        }
        // More than half of everything is kept until the next comes.
        recent.put(7, "heaviest", 1_000);
        assert_eq!(recent.get(7), Some(&"heaviest"));
        recent.put(8, "light", 1);
        recent.put(9, "heaviest", 1_000);
        assert_eq!(recent.get(7), None);
    }

    #[test]
    fn what_is_forgotten_is_gone_from_both_halves() {
        let mut recent = Recent::new(4);
        for key in 0..4 {
            recent.put(key, key, 1);
        }
        for key in 0..4 {
            recent.remove(key);
            assert_eq!(recent.get(key), None);
        }
        assert_eq!(recent.len(), 0);
        recent.put(1, 1, 1);
        recent.clear();
        assert_eq!(recent.get(1), None);
    }
}

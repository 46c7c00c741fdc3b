//! Bounded places: requests under way, and streams or connections of one client. A place is given back when it is
//! dropped; without a free one the caller gets none.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Places of each client.
#[derive(Debug)]
pub(crate) struct Places<K: Hash + Eq> {
    taken: Arc<Mutex<HashMap<K, u32>>>,
    each: u32,
}

impl<K: Hash + Eq> Clone for Places<K> {
    fn clone(&self) -> Self {
        Self { taken: Arc::clone(&self.taken), each: self.each }
    }
}

/// A taken place.
#[derive(Debug)]
pub(crate) struct Place<K: Hash + Eq> {
    taken: Arc<Mutex<HashMap<K, u32>>>,
    client: Option<K>,
}

impl<K: Hash + Eq + Clone> Places<K> {
    /// So many for each client.
    pub(crate) fn new(each: u32) -> Self {
        Self { taken: Arc::default(), each }
    }

    /// A place for this client, if it has one free. The map holds clients with places only.
    pub(crate) fn take(&self, client: K) -> Option<Place<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(client.clone()).or_insert(0);
        if *count >= self.each {
            return None;
        }
        *count += 1;
        Some(Place { taken: Arc::clone(&self.taken), client: Some(client) })
    }
}

impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&client) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(taken.remove(&client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g13_a_client_has_so_many_places_and_gets_them_back() {
        let places = Places::new(2);
        let one = places.take("a").unwrap();
        let _two = places.take("a").unwrap();
        assert!(places.take("a").is_none());
        assert!(places.take("b").is_some());
        drop(one);
        assert!(places.take("a").is_some());
        assert_eq!(places.taken.lock().unwrap().len(), 1);
    }
}

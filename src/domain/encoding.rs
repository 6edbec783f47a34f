//! How values are encoded that are stored or sent to a browser, so that a release reads those of the one before it and of
//! the one after it.
//!
//! postcard writes fields one after the other, without names. A stored type therefore changes in one way only: by a field
//! at the end of its outermost struct, or a variant at the end of an enum. A release that does not know the field ignores
//! it; where the field is missing it reads as 0, `false`, `None` or empty.

use postcard::de_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// The bytes of `value`.
///
/// # Panics
/// If the type cannot be written without names and lengths: no derived type of plain data is such.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(postcard::to_stdvec(value).expect("plain data"))
}

/// [`encode`] behind one byte.
///
/// # Panics
/// As [`encode`].
pub fn encode_after<T: Serialize + ?Sized>(first: u8, value: &T) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(postcard::to_extend(value, vec![first]).expect("plain data"))
}

/// The value of `bytes`, which this release, the one before it or the one after it has encoded. `None` for others.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let mut deserializer = postcard::Deserializer::from_flavor(ZeroPadded(bytes));
    T::deserialize(&mut deserializer).ok()
}

/// Bytes after which only zeros follow: the fields of a later release.
struct ZeroPadded<'de>(&'de [u8]);

impl<'de> Flavor<'de> for ZeroPadded<'de> {
    type Remainder = ();
    type Source = &'de [u8];

    fn pop(&mut self) -> postcard::Result<u8> {
        Ok(self.0.split_off_first().copied().unwrap_or_default())
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }

    /// A text or list that has begun is whole.
    fn try_take_n(&mut self, length: usize) -> postcard::Result<&'de [u8]> {
        self.0.split_off(..length).ok_or(postcard::Error::DeserializeUnexpectedEnd)
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// What releases have written.
#[cfg(test)]
pub(crate) mod releases {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    const RELEASES: [&str; 1] =
        [include_str!("../../tests/data/releases/8e50eaff06f155ecef8feabdb9ef66139a04aa18.toml")];

    /// The format `name` as each release has written it. One that lacks it fails with the line to add, which this build has
    /// written: so a release begins with an empty file.
    pub(crate) fn written(name: &str, now: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        RELEASES.iter().map(move |release| {
            let formats = release.lines().filter_map(|line| line.split_once(" = "));
            let text = formats.filter(|(format, _)| *format == name).map(|(_, text)| text.trim_matches('"')).next();
            let line = || format!("{name} = \"{}\"", BASE64_STANDARD.encode(now));
            BASE64_STANDARD.decode(text.unwrap_or_else(|| panic!("a release lacks\n{}", line()))).unwrap()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Before {
        name: String,
        count: u64,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct After {
        name: String,
        count: u64,
        epoch: u64,
        is_new: bool,
        word: Option<String>,
        list: Vec<u32>,
    }

    #[test]
    fn releases_read_each_others_values() {
        let before = Before { name: "jane".into(), count: 300 };
        let known = After { name: "jane".into(), count: 300, ..After::default() };
        assert_eq!(decode(&encode(&before)), Some(known));
        let after =
            After { epoch: 7, is_new: true, word: Some("x".into()), list: vec![1], name: "jane".into(), count: 300 };
        assert_eq!(decode(&encode(&after)), Some(before));
        assert_eq!(decode(&encode(&after)).as_ref(), Some(&after));
    }

    #[test]
    fn a_text_that_is_cut_off_is_none() {
        let encoded = encode(&Before { name: "jane".into(), count: 1 });
        assert!((1..5).all(|cut| decode::<Before>(&encoded[..cut]).is_none()));
    }
}

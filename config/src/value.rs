//! The kinds of values: numbers, texts, durations, sizes, paths, choices. Each says what it expects.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use crate::schema::{Refusal, Setting};

/// A number of bytes, written like `10 MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

impl ByteSize {
    /// So many bytes.
    #[must_use]
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many KiB.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// So many MiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// So many GiB.
    #[must_use]
    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number of bytes, for a buffer; the largest number where this machine cannot count so far.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim();
        if number.is_empty() {
            return Err(String::from("it must begin with a whole number"));
        }
        if unit.is_empty() {
            return Err(String::from("the unit is missing"));
        }
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) else {
            let names: Vec<&str> = UNITS.iter().map(|(name, _)| *name).collect();
            return Err(format!("the unit is none of {}", names.join(", ")));
        };
        let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*factor));
        // TOML integers and file offsets are signed, so more could not be used.
        bytes
            .filter(|bytes| i64::try_from(*bytes).is_ok())
            .map(Self)
            .ok_or_else(|| String::from("it is too large"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, factor) = UNITS[1..5]
            .iter()
            .rev()
            .find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor))
            .unwrap_or(&UNITS[0]);
        write!(f, "{} {name}", self.0 / factor)
    }
}

impl Setting for ByteSize {
    fn expected() -> String {
        String::from("a size such as \"2 GiB\"")
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Refusal> {
        Self::parse(value.as_str().ok_or(Refusal::Type)?).map_err(Refusal::Value)
    }

    fn write(&self) -> toml::Value {
        self.to_string().into()
    }
}

impl Setting for Duration {
    fn expected() -> String {
        String::from("a duration such as \"30 min\"")
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Refusal> {
        use humantime::DurationError as Wrong;
        let text = value.as_str().ok_or(Refusal::Type)?;
        humantime::parse_duration(text).map_err(|wrong| {
            Refusal::Value(String::from(match wrong {
                Wrong::Empty => "it is empty",
                Wrong::NumberExpected(_) => "it must begin with a number",
                Wrong::UnknownUnit { unit, .. } if unit.is_empty() => "the unit is missing",
                Wrong::UnknownUnit { .. } => "the unit is none of ms, s, min, h, days, weeks",
                Wrong::NumberOverflow => "the number is too large or too exact",
                Wrong::InvalidCharacter(_) => "it is no number with a unit",
            }))
        })
    }

    fn write(&self) -> toml::Value {
        humantime::format_duration(*self).to_string().into()
    }
}

impl Setting for bool {
    fn expected() -> String {
        String::from("`true` or `false`")
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Refusal> {
        value.as_bool().ok_or(Refusal::Type)
    }

    fn write(&self) -> toml::Value {
        (*self).into()
    }
}

/// A number from 0 to `max`, the greatest of its type.
fn whole_number<T: TryFrom<i128> + fmt::Display>(value: &DeValue<'_>, max: T) -> Result<T, Refusal> {
    let number = value.as_integer().ok_or(Refusal::Type)?;
    let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok();
    match parsed.map(T::try_from) {
        Some(Ok(number)) => Ok(number),
        _ => Err(Refusal::Value(format!("it must lie between 0 and {max}"))),
    }
}

impl Setting for u32 {
    fn expected() -> String {
        String::from("a whole number")
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Refusal> {
        whole_number(value, Self::MAX)
    }

    fn write(&self) -> toml::Value {
        i64::from(*self).into()
    }
}

impl Setting for u16 {
    fn expected() -> String {
        String::from("a port from 0 to 65535")
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Refusal> {
        whole_number(value, Self::MAX)
    }

    fn write(&self) -> toml::Value {
        i64::from(*self).into()
    }
}

impl Setting for String {
    fn expected() -> String {
        Self::from("a text")
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Refusal> {
        value.as_str().map(Self::from).ok_or(Refusal::Type)
    }

    fn write(&self) -> toml::Value {
        self.clone().into()
    }
}

impl Setting for PathBuf {
    fn expected() -> String {
        String::from("an absolute path")
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let path = Self::from(value.as_str().ok_or(Refusal::Type)?);
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(Refusal::Value(String::from("it contains a NUL")));
        }
        if path.is_absolute() { Ok(path) } else { Err(Refusal::Value(String::from("it is not absolute"))) }
    }

    fn write(&self) -> toml::Value {
        // Paths enter as text, from here or from `Paths`, which refuses others.
        self.to_string_lossy().into_owned().into()
    }
}

/// Lists of texts and of paths.
impl<T: Setting> Setting for Vec<T> {
    fn expected() -> String {
        format!("a list, each item {}", T::expected())
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let items = value.as_array().ok_or(Refusal::Type)?;
        items
            .iter()
            .enumerate()
            .map(|(at, item)| {
                T::read(item.get_ref()).map_err(|refusal| {
                    let nth = at + 1;
                    Refusal::Value(match refusal {
                        Refusal::Type => format!("item {nth} is {}", found(item.get_ref())),
                        Refusal::Value(why) => format!("item {nth} is {}; {why}", found(item.get_ref())),
                    })
                })
            })
            .collect()
    }

    fn write(&self) -> toml::Value {
        toml::Value::Array(self.iter().map(Setting::write).collect())
    }
}

/// Environment variables.
impl Setting for BTreeMap<String, String> {
    fn expected() -> String {
        String::from("a table of texts")
    }

    fn read(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let table = value.as_table().ok_or(Refusal::Type)?;
        let entry = |(name, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
            let name: &std::borrow::Cow<'_, str> = name.get_ref();
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(Refusal::Value(format!("{name:?} is no variable name")));
            }
            match value.get_ref().as_str() {
                Some(text) if text.contains('\0') => {
                    Err(Refusal::Value(format!("the value of `{name}` contains a NUL")))
                }
                Some(text) => Ok((name.to_string(), text.to_owned())),
                None => Err(Refusal::Value(format!("`{name}` is {}", found(value.get_ref())))),
            }
        };
        table.iter().map(entry).collect()
    }

    fn write(&self) -> toml::Value {
        toml::Value::Table(self.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect())
    }
}

/// Implements [`Setting`] for an enum by the texts of its variants; what stands behind a `|` was one formerly, and is
/// still read.
macro_rules! choice {
    ($type:ty { $($text:literal $(| $former:literal)* => $variant:ident),+ $(,)? }) => {
        impl $crate::schema::Setting for $type {
            fn expected() -> String {
                let texts = [$(concat!("\"", $text, "\"")),+];
                format!("one of {}", texts.join(", "))
            }

            fn read(value: &toml::de::DeValue<'_>) -> Result<Self, $crate::schema::Refusal> {
                match value.as_str().ok_or($crate::schema::Refusal::Type)? {
                    $($text $(| $former)* => Ok(Self::$variant),)+
                    other => Err($crate::schema::Refusal::Value(
                        $crate::value::no_choice(other, &[$($text),+]),
                    )),
                }
            }

            fn write(&self) -> toml::Value {
                match self {
                    $(Self::$variant => $text.into(),)+
                }
            }
        }
    };
}
pub(crate) use choice;

pub(crate) fn no_choice(text: &str, choices: &[&str]) -> String {
    match nearest(text, choices.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => String::from("there is no such choice"),
    }
}

/// The choice that `text` was probably meant to be.
pub(crate) fn nearest<'a>(text: &str, choices: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |choice: &&str| strsim::damerau_levenshtein(&text.to_lowercase(), &choice.to_lowercase());
    let near = choices.min_by_key(distance)?;
    let allowed = (text.chars().count().max(near.chars().count()) / 3).max(1);
    (distance(&near) <= allowed).then_some(near)
}

/// What stands there, for a person.
pub(crate) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => {
            let clipped: String = text.chars().take(60).collect();
            let dots = if clipped.len() < text.len() { "…" } else { "" };
            format!("the text {clipped:?}{dots}")
        }
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(value) => format!("`{value}`"),
        DeValue::Datetime(at) => format!("the date {at}"),
        DeValue::Array(_) => String::from("a list"),
        DeValue::Table(_) => String::from("a table"),
    }
}

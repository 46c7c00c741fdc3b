//! Mends JSON that is legal to write and illegal to read: lone surrogates (`\ud800`, which JavaScript's
//! `JSON.stringify` emits when a character was cut in half) become `\ufffd`. Pure.

use std::borrow::Cow;

/// The text with every escaped lone surrogate replaced by `\ufffd`; the same length, nothing else touched.
#[must_use]
pub fn repair_surrogates(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let mut lone = Vec::new();
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
        let escape = at + found;
        match unit(bytes, escape) {
            Some(0xd800..=0xdbff) => match unit(bytes, escape + 6) {
                Some(0xdc00..=0xdfff) => at = escape + 12,
                _ => {
                    lone.push(escape);
                    at = escape + 6;
                }
            },
            Some(0xdc00..=0xdfff) => {
                lone.push(escape);
                at = escape + 6;
            }
            _ => at = (escape + 2).min(bytes.len()),
        }
    }
    if lone.is_empty() {
        return Cow::Borrowed(json);
    }
    let mut mended = String::with_capacity(json.len());
    let mut copied = 0;
    for escape in lone {
        mended.push_str(&json[copied..escape]);
        mended.push_str("\\ufffd");
        copied = escape + 6;
    }
    mended.push_str(&json[copied..]);
    Cow::Owned(mended)
}

/// The UTF-16 unit of the escape `\uXXXX` at `at`, if one stands there.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    if &escape[..2] != b"\\u" || !escape[2..].iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(&escape[2..]).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_kept() {
        for (text, mended) in [
            (r#""\ud800""#, r#""\ufffd""#),
            (r#""\uDC00x""#, r#""\ufffdx""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\\ud800""#, r#""\\ud800""#),
            (r#""\ud8"#, r#""\ud8"#),
            (r#""é\ud800é""#, r#""é\ufffdé""#),
            (r"\", r"\"),
        ] {
            assert_eq!(repair_surrogates(text), mended, "{text}");
        }
    }

    proptest! {
        #[test]
        fn g13_any_units_are_readable_afterwards(units in proptest::collection::vec(any::<u16>(), 0..20)) {
            let escaped: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let text = format!("\"{escaped}\"");
            let read: String = serde_json::from_str(&repair_surrogates(&text)).unwrap();
            prop_assert_eq!(read, String::from_utf16_lossy(&units));
        }

        #[test]
        fn g13_any_text_is_survived(text in "[\\\\\"ud8-9a-f{}é]{0,40}") {
            prop_assert_eq!(repair_surrogates(&text).chars().count(), text.chars().count());
        }
    }
}

//! The certificate that skep makes for itself: kept with its key in one private file, so that the two cannot come apart,
//! and beside it alone, for clients to trust. Made anew before it ends, when a name is missing, and when its file is
//! broken or was readable for others.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use skep_sys::statefile;

use super::RENEW_BEFORE;
use super::certificate::{Certified, TlsError};

/// How long it is good: what browsers take at most, about.
const GOOD_FOR: SignedDuration = SignedDuration::from_hours(397 * 24);

/// Where it is kept.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// With its key.
    pub(super) whole: PathBuf,
    /// Alone.
    pub(super) shown: PathBuf,
}

/// The certificate that is kept, if it is good for these names and for long enough; else another.
pub(super) fn load_or_make(
    places: &Places,
    names: &BTreeSet<String>,
    now: Timestamp,
) -> Result<Certified, TlsError> {
    let names = with_local(names);
    let kept = match Certified::read(&places.whole, &places.whole) {
        Ok(kept) => usable(kept, &names, now),
        Err(TlsError::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!("a new certificate is made: cannot {error}");
            None
        }
    };
    let certified = match kept {
        Some(kept) => kept,
        None => make(places, &names, now)?,
    };
    Ok(Certified { path: places.shown.clone(), ..certified })
}

fn usable(kept: Certified, names: &BTreeSet<String>, now: Timestamp) -> Option<Certified> {
    let why = if !names.is_subset(&kept.names) {
        "names were added"
    } else if now + RENEW_BEFORE >= kept.not_after || now < kept.not_before {
        "the former one ends"
    } else {
        return Some(kept);
    };
    tracing::info!("a new certificate is made: {why}");
    None
}

/// This machine under its own names, and those that are asked for.
fn with_local(names: &BTreeSet<String>) -> BTreeSet<String> {
    let local = ["localhost", "127.0.0.1", "::1"].map(String::from);
    let machine = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let machine = machine.map(|name| name.to_ascii_lowercase()).filter(|name| super::is_name(name));
    let written = |name: &String| match name.parse::<std::net::IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => name.to_ascii_lowercase(),
    };
    names.iter().map(written).chain(local).chain(machine).collect()
}

fn make(places: &Places, names: &BTreeSet<String>, now: Timestamp) -> Result<Certified, TlsError> {
    let failed = |error: rcgen::Error| TlsError::Make(error.to_string());
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>()).map_err(failed)?;
    // Clocks of two machines differ.
    let [from, to] = [day(now - SignedDuration::from_hours(24))?, day(now + GOOD_FOR)?];
    params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
    params.not_after = rcgen::date_time_ymd(to.0, to.1, to.2);
    params.distinguished_name.push(DnType::CommonName, "skep");
    // It vouches for nobody else.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(&key).map_err(failed)?.pem();
    let store = |path: &PathBuf, text: &str| {
        statefile::write_atomic(path, text.as_bytes())
            .map_err(|source| TlsError::Store { path: path.clone(), source })
    };
    store(&places.whole, &format!("{certificate}{}", key.serialize_pem()))?;
    store(&places.shown, &certificate)?;
    Certified::read(&places.whole, &places.whole)
}

/// Year, month and day.
fn day(at: Timestamp) -> Result<(i32, u8, u8), TlsError> {
    let date = at.to_zoned(TimeZone::UTC).date();
    match (u8::try_from(date.month()), u8::try_from(date.day())) {
        (Ok(month), Ok(day)) => Ok((date.year().into(), month, day)),
        _ => Err(TlsError::Make(String::from("the clock is out of range"))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn names(of: &[&str]) -> BTreeSet<String> {
        of.iter().map(|name| (*name).to_owned()).collect()
    }

    fn places(home: &tempfile::TempDir) -> Places {
        Places { whole: home.path().join("tls.pem"), shown: home.path().join("certificate.pem") }
    }

    #[test]
    fn r6_a_certificate_is_made_once_kept_privately_and_renewed_before_its_end() {
        let home = tempfile::tempdir().unwrap();
        let places = places(&home);
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let first = load_or_make(&places, &names(&["Box.example"]), now).unwrap();
        assert!(names(&["box.example", "localhost", "127.0.0.1", "::1"]).is_subset(&first.names));
        assert_eq!(std::fs::metadata(&places.whole).unwrap().mode() & 0o777, 0o600);
        let shown = std::fs::read_to_string(&places.shown).unwrap();
        assert!(shown.contains("BEGIN CERTIFICATE") && !shown.contains("PRIVATE"), "{shown}");
        let again = |now: Timestamp| load_or_make(&places, &names(&["box.example"]), now).unwrap();
        assert_eq!(again(now).fingerprint, first.fingerprint);
        let shortly_before = first.not_after - RENEW_BEFORE - SignedDuration::from_secs(1);
        assert_eq!(again(shortly_before).fingerprint, first.fingerprint);
        let renewed = again(first.not_after - RENEW_BEFORE);
        assert_ne!(renewed.fingerprint, first.fingerprint);
        assert!(renewed.not_after > first.not_after);
        assert_eq!(renewed.path, places.shown);
    }

    #[test]
    fn r6_a_missing_name_a_broken_file_and_one_that_others_read_make_a_new_certificate() {
        let home = tempfile::tempdir().unwrap();
        let places = places(&home);
        let now = Timestamp::now();
        let mut former = load_or_make(&places, &names(&[]), now).unwrap().fingerprint;
        let mut is_new = |wanted: &[&str]| {
            let made = load_or_make(&places, &names(wanted), now).unwrap();
            std::mem::replace(&mut former, made.fingerprint.clone()) != made.fingerprint
        };
        assert!(!is_new(&[]));
        assert!(is_new(&["192.168.1.7"]));
        assert!(!is_new(&["192.168.1.7"]) && !is_new(&[]));
        std::fs::set_permissions(&places.whole, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(is_new(&[]));
        std::fs::write(&places.whole, "-----BEGIN CERTIFICATE-----\nAAAA").unwrap();
        assert!(is_new(&[]));
        std::fs::remove_file(&places.whole).unwrap();
        assert!(is_new(&[]));
    }
}

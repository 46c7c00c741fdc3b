//! schemathesis: a tester that makes requests, good and bad, from the description alone, and holds every answer against it.

use std::time::Duration;

use super::*;

#[test]
fn n9_a_property_based_tester_finds_nothing_that_the_description_does_not_say() {
    let env = TestEnv::with_config("[session]\ndefault_agent = \"fake\"\n[restart]\nfirst_delay = \"0s\"\n");
    let _ran = env.skep(["run", "--name", "seen", "say something"]).run().ok();
    let relay = relay(&env);
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let tested = env
        .program(&agents::python())
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(clients.join("schemathesis.toml"))
        .args(["run", &format!("{}/openapi.json", relay.url())])
        .args(["--header", &format!("Authorization: Bearer {}", env.token())])
        .limit(Duration::from_secs(170))
        .run()
        .ok();
    let number = |before: &str| {
        let (_, rest) = tested.stdout.split_once(before)?;
        rest.trim_start().split(['/', '\n', ' ']).next()?.parse::<u32>().ok()
    };
    let (selected, tried) = (number("Selected:"), number("Tested:"));
    assert!(selected == tried && selected > Some(30), "all operations were tried: {tested}");
    let _serves = env.skep(["run", "say still here"]).run().ok().says("still here");
}

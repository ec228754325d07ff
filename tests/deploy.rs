//! Image, chart and manifests, checked without a cluster by `deploy/check.sh`, which installs its
//! tools into `target/` and asks this very binary about every configuration that it renders.

use std::process::Command;

#[test]
fn image_chart_and_manifests_are_what_they_say() {
    let check = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/check.sh");
    let output = Command::new("bash")
        .arg(check)
        .env("REWAMP", env!("CARGO_BIN_EXE_rewamp"))
        .output();
    let output = output.expect("bash runs");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

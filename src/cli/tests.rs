//! Exit codes, which scripts and init containers go by.

use std::fs;

use clap::CommandFactory as _;

use super::*;

/// The exit code, and what was said where.
fn said(arguments: &[&str]) -> (u8, String, String) {
    let words = ["rewamp"].iter().chain(arguments);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = match Arguments::try_parse_from(words) {
        Ok(arguments) => {
            let mut console = Console {
                out: &mut out,
                err: &mut err,
            };
            arguments.command.run(&mut console).unwrap()
        }
        Err(error) => u8::try_from(error.exit_code()).unwrap(),
    };
    (
        code,
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
    )
}

fn run(arguments: &[&str]) -> u8 {
    said(arguments).0
}

#[test]
fn the_command_line_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_says_by_its_exit_code_how_it_went() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let good = write("good.yaml", init::TEMPLATE);
    let faulty = write("faulty.json", r#"{"realms": [{"name": ""}]}"#);
    let broken = write("broken.json", "{");
    let secret = write(
        "secret.json",
        r#"{"realms": [{"name": "a", "roles": [{"name": "r"}]}], "transports": [
            {"type": "rawsocket", "endpoint": {"type": "tcp", "port": 18148}, "auth": {"ticket":
                {"type": "static", "principals": {"joe": {"ticket": "${NOT_SET_ANYWHERE}", "role": "r"}}}}}]}"#,
    );
    let missing = folder
        .path()
        .join("missing.json")
        .to_str()
        .unwrap()
        .to_owned();

    assert_eq!(run(&["version"]), 0);
    for command in ["check", "config"] {
        assert_eq!(run(&[command, "--config", &good]), 0, "{command}");
        assert_eq!(
            run(&[command, "--config", &secret]),
            0,
            "{command}: the secret is elsewhere"
        );
        for bad in [&faulty, &broken, &missing] {
            assert_eq!(run(&[command, "--config", bad]), FAULTS, "{command} {bad}");
        }
    }
    for bad in [&faulty, &broken, &missing, &secret] {
        assert_eq!(run(&["start", "--config", bad]), FAULTS, "start {bad}");
    }
    assert_eq!(
        run(&[
            "config",
            "--config",
            &good,
            "--for",
            "crossbar",
            "--with-secrets"
        ]),
        0
    );
    assert_eq!(run(&["config", "--reference"]), 0);
    for wrong in [
        &["config", "--with-secrets"][..],
        &["config", "--for", "nexus"],
        &["start", "--loglevel", "loud"],
        &["stop"],
        &[],
    ] {
        assert_eq!(run(wrong), 2, "{wrong:?}");
    }
    assert_eq!(run(&["--help"]), 0);
}

#[test]
fn results_go_to_standard_output_and_everything_else_to_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    fs::write(&file, init::TEMPLATE).unwrap();
    let file = file.to_str().unwrap();

    let (_, out, err) = said(&["check", "--config", file]);
    assert_eq!(out, format!("{file}: 0 faults, 0 warnings: starts\n"));
    assert_eq!(err, "");

    let (_, out, err) = said(&["config", "--config", file, "--for", "crossbar"]);
    serde_json::from_str::<serde_json::Value>(&out).unwrap();
    assert!(
        err.lines().count() > 1 && err.lines().all(|line| line.starts_with("lost: ")),
        "{err}"
    );

    fs::write(file, "{realms: [{nam: a}], transports: []}").unwrap();
    let (_, out, _) = said(&["check", "--config", file]);
    assert!(
        out.contains("fault: realms[0].nam: unknown key; did you mean `name`?\n"),
        "{out}"
    );
    assert!(
        out.ends_with("2 faults, 1 warnings: does not start\n"),
        "{out}"
    );
    let (_, out, err) = said(&["start", "--config", file]);
    assert_eq!(out, "");
    assert!(err.ends_with("the node does not start\n"), "{err}");
}

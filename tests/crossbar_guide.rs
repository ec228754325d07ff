//! `docs/crossbar.md`: the walk from Crossbar to Rewamp and back. Its commands run as they stand
//! there, one after another, with the real Crossbar; only ports, the time of a rehearsal and
//! somebody who publishes meanwhile are put in.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::foreign;
use crate::harness::node::free_port;

const GUIDE: &str = include_str!("../docs/crossbar.md");

/// What stands before the guide's own commands.
const PRELUDE: &str = r#"
set -eu
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
listens() {
    until python -c "import socket; socket.create_connection(('127.0.0.1', $1)).close()" 2>/dev/null
    do sleep 0.2; done
}
says() {
    until grep -q "$2" "$1"; do sleep 0.2; done
}
"#;

/// The blocks of one language.
fn blocks<'g>(guide: &'g str, language: &str) -> Vec<&'g str> {
    let fence = format!("```{language}\n");
    let blocks = guide.split(&fence).skip(1);
    blocks
        .map(|block| block.split("```").next().expect("a block has an end"))
        .collect()
}

/// The guide's commands with what a reader does besides: he waits until a program is there, and
/// his own programs publish while he rehearses.
fn script(guide: &str) -> String {
    let mut script = PRELUDE.to_owned();
    for line in blocks(guide, "console").concat().lines() {
        let line = if line.starts_with("rewamp history compare") {
            let publish = "python examples/tour/publish.py ws://127.0.0.1:8080/ws";
            let line = line.replace("--for 1h", "--for 15s");
            format!(
                "(while [ ! -e compared ]; do {publish}; done) & publishing=$!\n\
                 {line}\ntouch compared\nwait $publishing"
            )
        } else if line.starts_with("python examples/mirror.py") {
            let line = line.replace(" & ", " > mirror.log & ");
            format!("{line}\nsays mirror.log mirroring")
        } else if line.starts_with("rewamp record") {
            let line = line.replace(" & ", " 2> recorder.log & ");
            format!("{line}\nsays recorder.log answers")
        } else if line.contains("rehearsal.json &") {
            format!("{line}\nlistens 8090")
        } else if line.starts_with("crossbar ") && line.ends_with(" &") {
            let line = line.trim_end_matches(" &");
            format!("{line} >> crossbar.log 2>&1 &\nlistens 8080")
        } else if line.starts_with("rewamp start ") {
            format!("{line}\nlistens 8080")
        } else {
            line.to_owned()
        };
        script.push_str(&line);
        script.push('\n');
    }
    script
}

/// The numbers behind `before` in the lines that have it.
fn ids(said: &str, id: impl Fn(&str) -> Option<&str>) -> Vec<u64> {
    let ids = said.lines().filter_map(id);
    ids.filter_map(|id| id.parse().ok()).collect()
}

#[test]
fn its_commands_lead_there_and_back() {
    let (there, rehearsal) = (free_port().to_string(), free_port().to_string());
    let with_ports = |text: &str| text.replace("8080", &there).replace("8090", &rehearsal);
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join(".crossbar");
    fs::create_dir(&config).expect("a folder");
    let [configured] = blocks(GUIDE, "json")[..] else {
        panic!("one configuration");
    };
    fs::write(config.join("config.json"), with_ports(configured)).expect("a file");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples = folder.path().join("examples");
    std::os::unix::fs::symlink(root.join("examples"), examples).expect("a link");
    let said = foreign::shell_with_crossbar(folder.path(), &with_ports(&script(GUIDE))).says();

    let same = said
        .lines()
        .find_map(|line| line.strip_suffix(" events were the same, 0 differences"));
    let same: u64 = same
        .expect("the comparison's last line")
        .parse()
        .expect("a number");
    assert!(same > 0, "{said}");
    let whole = said
        .lines()
        .filter(|line| line.ends_with("events of realm realm1: whole"));
    assert_eq!(whole.count(), 2, "{said}");
    // Everything that was published up to the export of the common store is in it, once.
    let before = said.find("{\"sequence\"").expect("the export's first line");
    let published = ids(&said[..before], |line| {
        let (_, id) = line.strip_prefix("published ")?.split_once(" as ")?;
        Some(id)
    });
    assert!(published.len() as u64 >= same + 9, "{said}");
    let exported: Vec<Value> = said
        .lines()
        .filter(|line| line.starts_with("{\"sequence\""))
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let exported: Vec<u64> = exported
        .iter()
        .filter_map(|line| line["publication"].as_u64())
        .collect();
    assert_eq!(
        exported.iter().copied().collect::<BTreeSet<_>>(),
        published.iter().copied().collect(),
        "{said}"
    );
    assert_eq!(exported.len(), published.len(), "{said}");
    // Ten of each of the two routers' tours, and what the recorder answers at Crossbar.
    let asked = ids(&said, |line| {
        let (time, rest) = line.split_once(' ')?;
        let id = time.ends_with('Z').then(|| rest.split(' ').next());
        id?
    });
    assert_eq!(asked.len(), 10 + 10 + 3, "{said}");
    let live = said
        .lines()
        .filter(|line| line.starts_with("{\"publication\""));
    assert_eq!(live.count(), 6, "{said}");
}

//! Programs that others' client libraries run in: installed once at pinned versions by
//! `tests/clients/install.py`, started with a deadline, judged by how they end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::deadline;

/// More than any program here needs, also on a machine that does other things beside.
const PROGRAM_TIME: Duration = Duration::from_secs(120);

/// What `install.py` prints.
struct Installed {
    python: PathBuf,
    tables: PathBuf,
    node_modules: PathBuf,
}

/// A program that was started. Dropping it kills the process.
pub(crate) struct Program {
    name: String,
    child: Child,
    output: TempDir,
    patience: Duration,
}

/// A Python program of the repository, with Autobahn|Python at hand.
pub(crate) fn python(program: &str, arguments: &[&str]) -> Program {
    let mut command = Command::new(&installed().python);
    command.arg(in_repository(program)).args(arguments);
    Program::start(program, command)
}

/// A Python program of the repository, with pandas and DuckDB at hand.
pub(crate) fn tables(program: &str, arguments: &[&str]) -> Program {
    let mut command = Command::new(&installed().tables);
    command.arg(in_repository(program)).args(arguments);
    Program::start(program, command)
}

/// A Python program of the repository, with Crossbar's store at hand.
pub(crate) fn python_with_cfxdb(program: &str, arguments: &[&str]) -> Program {
    let mut command = Command::new(crossbars_python());
    command.arg(in_repository(program)).args(arguments);
    Program::start(program, command)
}

/// Crossbar itself, in the one personality that has a store on disk, with a node directory.
pub(crate) fn crossbar(directory: &Path) -> Program {
    let mut command = Command::new(crossbars_python().with_file_name("crossbar"));
    command
        .args(["edge", "start", "--cbdir"])
        .arg(directory)
        .current_dir(directory);
    Program::start("crossbar", command)
}

/// A shell script in a folder, with `rewamp`, `crossbar` and a `python` that has both Autobahn and
/// Crossbar's store at hand.
pub(crate) fn shell_with_crossbar(folder: &Path, script: &str) -> Program {
    let directory = |program: &Path| program.parent().expect("it is in a folder").to_owned();
    let mut paths = vec![
        directory(crossbars_python()),
        directory(Path::new(env!("CARGO_BIN_EXE_rewamp"))),
    ];
    let inherited = std::env::var_os("PATH").expect("there is a path");
    paths.extend(std::env::split_paths(&inherited));
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .env("PATH", std::env::join_paths(paths).expect("paths"))
        .env_remove("CROSSBAR_CONFIG")
        .env_remove("CROSSBAR_DIR")
        .current_dir(folder);
    let mut program = Program::start("the script", command);
    // Several routers start in it, one after another.
    program.patience = 8 * PROGRAM_TIME;
    program
}

/// Our own program, for what it does besides running a node.
pub(crate) fn rewamp(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rewamp"));
    command.args(arguments);
    Program::start("rewamp", command)
}

/// A JavaScript program of the repository, with Autobahn|JS, Wampy and ws at hand.
pub(crate) fn node(program: &str, arguments: &[&str]) -> Program {
    // Node looks for packages above the program's own folder, and then here. A CommonJS matter:
    // the programs are CommonJS modules.
    let mut command = Command::new("node");
    command
        .env("NODE_PATH", node_modules())
        .arg(in_repository(program))
        .args(arguments);
    Program::start(program, command)
}

/// Where the npm packages are, the packaged data set of the examples among them.
pub(crate) fn node_modules() -> &'static Path {
    &installed().node_modules
}

impl Program {
    fn start(name: &str, mut command: Command) -> Self {
        let output = tempfile::tempdir().expect("a temporary folder");
        let file = |name| File::create(output.path().join(name)).expect("an output file");
        let child = command
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self {
            name: name.to_owned(),
            child,
            output,
            patience: PROGRAM_TIME,
        }
    }

    /// Waits for a good end, and gives the JSON lines that the program printed.
    pub(crate) fn succeeds(self) -> Vec<Value> {
        json_lines(&self.says())
    }

    /// Waits for a good end, and gives what the program printed.
    pub(crate) fn says(mut self) -> String {
        let status = self.ended();
        assert!(
            status.success(),
            "{} ended with {status}\n{}",
            self.name,
            self.said()
        );
        self.read("stdout")
    }

    /// The first printed JSON line that `is_it` accepts; fails if the program ends without it.
    pub(crate) fn prints(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let found = deadline::poll(PROGRAM_TIME, || {
            let over = self.child.try_wait().expect("it is our child").is_some();
            let line = json_lines(&self.read("stdout")).into_iter().find(&is_it);
            (line.is_some() || over).then_some(line)
        });
        found
            .flatten()
            .unwrap_or_else(|| panic!("{} did not print {what}\n{}", self.name, self.said()))
    }

    /// Whether it has not ended yet.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// The process ID.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGINT, as from a terminal, and the end of the program.
    pub(crate) fn interrupt(mut self) {
        self.signal("INT");
        self.ended();
    }

    /// SIGTERM, and how the program ends by itself: its exit code, and what it said.
    pub(crate) fn terminate(mut self) -> (Option<i32>, String) {
        self.signal("TERM");
        (self.ended().code(), self.said())
    }

    /// How the program ends by itself: its exit code, and what it said.
    pub(crate) fn ends(mut self) -> (Option<i32>, String) {
        (self.ended().code(), self.said())
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(sent.is_ok_and(|status| status.success()));
    }

    /// Waits until the program has said something, to whichever stream.
    pub(crate) fn waits_until_it_says(&self, what: &str) {
        let found = deadline::poll(PROGRAM_TIME, || self.said().contains(what).then_some(()));
        assert!(
            found.is_some(),
            "{} does not say {what}\n{}",
            self.name,
            self.said()
        );
    }

    fn ended(&mut self) -> ExitStatus {
        let (child, patience) = (&mut self.child, self.patience);
        let ended = deadline::poll(patience, || child.try_wait().expect("it is our child"));
        ended.unwrap_or_else(|| {
            panic!(
                "{} is not done after {patience:?}\n{}",
                self.name,
                self.said()
            )
        })
    }

    fn said(&self) -> String {
        format!(
            "stdout:\n{}\nstderr:\n{}",
            self.read("stdout"),
            self.read("stderr")
        )
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.output.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails where the program has ended, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines that are JSON; other lines are for people. A last line without its end is still
/// being written and does not count.
fn json_lines(text: &str) -> Vec<Value> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// The interpreter that Crossbar is installed for; on the first call it is installed.
fn crossbars_python() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        install(&["crossbar"])["python"]
            .as_str()
            .expect("a path")
            .into()
    })
}

/// Installs on the first call; afterwards, and in other test processes, it is there.
fn installed() -> &'static Installed {
    static INSTALLED: OnceLock<Installed> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let paths = install(&[]);
        let path = |key: &str| PathBuf::from(paths[key].as_str().expect("a path"));
        Installed {
            python: path("python"),
            tables: path("tables"),
            node_modules: path("node_modules"),
        }
    })
}

/// What `install.py` prints.
fn install(what: &[&str]) -> Value {
    let output = Command::new("python3")
        .arg(in_repository("tests/clients/install.py"))
        .args(what)
        .output()
        .expect("`python3` is on this machine; the tests with foreign clients need it");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "the foreign clients do not install:\n{said}"
    );
    serde_json::from_slice(&output.stdout).expect("one JSON line")
}

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

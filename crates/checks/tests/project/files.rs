//! The text files of the project.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold inputs of tests, built files or the records of version control.
const SKIPPED: [&str; 8] =
    ["target", ".git", "corpus", "crashes", "artifacts", "models", "proptest-regressions", "data"];

/// Endings of files that people write.
const TEXTS: [&str; 8] = ["rs", "md", "scn", "patch", "toml", "sh", "model", "txt"];

/// A text file: its path below the root, with `/`, and what it says.
pub(crate) struct File {
    pub path: String,
    pub text: String,
}

impl File {
    pub(crate) fn is(&self, ending: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == ending)
    }
}

/// Returns the root of the project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Reads every text file of the project, in the order of paths.
///
/// The sources of these checks are left out: they speak of wrong words and citations.
pub(crate) fn all() -> Vec<File> {
    let root = root();
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    files.retain(|file| !file.path.starts_with("crates/checks/"));
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                collect(root, &path, files);
            }
        } else if is_text(&path) {
            let text = fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let path = relative(root, &path);
            files.push(File { path, text });
        }
    }
}

fn is_text(path: &Path) -> bool {
    let in_ci = path.parent().and_then(Path::file_name).is_some_and(|name| name == ".ci");
    in_ci || path.extension().is_some_and(|end| TEXTS.iter().any(|text| end == *text))
}

fn relative(root: &Path, path: &Path) -> String {
    let parts = path.strip_prefix(root).unwrap().iter();
    parts.map(|part| part.to_str().unwrap()).collect::<Vec<_>>().join("/")
}

/// Reads a file below the root.
pub(crate) fn read(path: &str) -> String {
    let full = root().join(path);
    fs::read_to_string(&full).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Writes a generated file if `VNETEM_BLESS` is 1; else says how if it is stale.
pub(crate) fn generated(path: &str, text: &str) -> Option<String> {
    if vnetem_checks::flag("VNETEM_BLESS") {
        fs::write(root().join(path), text).unwrap();
        return None;
    }
    let found = fs::read_to_string(root().join(path)).unwrap_or_default();
    let line = found.lines().zip(text.lines()).take_while(|(old, new)| old == new).count() + 1;
    (found != text)
        .then(|| format!("{path}:{line}: stale; VNETEM_BLESS=1 cargo test -p vnetem-checks"))
}

/// Reads the tables of docs/data.
pub(crate) fn tables() -> Vec<File> {
    let root = root();
    let mut files: Vec<_> = fs::read_dir(root.join("docs/data"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| File { path: relative(&root, &path), text: fs::read_to_string(&path).unwrap() })
        .collect();
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

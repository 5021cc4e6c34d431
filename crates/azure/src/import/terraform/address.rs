//! Addresses of Terraform: `module.server["North Europe"].azurerm_subnet.app[0].id`.

/// The words of an address; dots inside brackets and quotes part nothing.
pub(super) fn words(address: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut depth, mut quoted, mut escaped) = (0, 0_usize, false, false);
    for (at, letter) in address.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth = depth.saturating_sub(1),
            '.' if !quoted && depth == 0 => {
                words.push(address.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(address.get(start..).unwrap_or_default());
    words
}

/// A word without its keys, and the first of them: `app["a"]` is `app` and `"a"`.
pub(super) fn key(word: &str) -> (&str, Option<&str>) {
    match word.split_once('[') {
        Some((name, rest)) => (name, rest.split(']').next()),
        None => (word, None),
    }
}

/// The names of the modules in a module's address, without keys.
pub(super) fn module_names(module: &str) -> Vec<&str> {
    let words = words(module);
    let mut names = Vec::new();
    for pair in words.chunks(2) {
        if let ["module", name] = pair {
            names.push(key(name).0);
        }
    }
    names
}

/// The module around a module, and the last module's own word with its key.
pub(super) fn outer(module: &str) -> (String, String) {
    let words = words(module);
    let split = words.len().saturating_sub(2);
    let (outer, last) = words.split_at_checked(split).unwrap_or((&[], &[]));
    (outer.join("."), last.last().copied().unwrap_or_default().to_owned())
}

/// An address inside a module.
pub(super) fn inside(module: &str, address: &str) -> String {
    if module.is_empty() { address.to_owned() } else { format!("{module}.{address}") }
}

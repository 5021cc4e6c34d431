//! `vnetem live`, `exec` and `ctl`: networks for real programs.

use std::io::Write as _;
use std::process::ExitCode;

use crate::arguments::{Common, Ctl, Exec, Live};
use crate::{Answer, FAILED, Failure};

/// Turns what a verb that prints by itself ends with into an exit status.
pub(crate) fn exit(ended: Result<u8, Failure>) -> ExitCode {
    match ended {
        Ok(status) => status.into(),
        Err(failure) => {
            // As everywhere: whoever does not listen misses it.
            let _ = writeln!(std::io::stderr(), "vnetem: {failure}");
            FAILED.into()
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Answer, Common, Ctl, Exec, Failure, Live};

    pub(crate) fn keep() -> Option<u8> {
        None
    }

    pub(crate) fn live(_: &Common, _: &Live) -> Result<u8, Failure> {
        Err(vnetem_live::ELSEWHERE.into())
    }

    pub(crate) fn exec(_: &Exec) -> Result<u8, Failure> {
        Err(vnetem_live::ELSEWHERE.into())
    }

    pub(crate) fn ctl(_: &Common, _: &Ctl) -> Result<Answer, Failure> {
        Err(vnetem_live::ELSEWHERE.into())
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs::File;
    use std::io::Write;
    use std::path::Path;

    use vnetem_live::{Options, Printing};

    use super::{Answer, Common, Ctl, Exec, Failure, Live};
    use crate::arguments::Output;
    use crate::load;

    /// Is the keeper of a command, if that is what this process is for.
    pub(crate) fn keep() -> Option<u8> {
        vnetem_live::keep()
    }

    /// Brings a network up, and says what becomes of it until it ends.
    pub(crate) fn live(common: &Common, asked: &Live) -> Result<u8, Failure> {
        if asked.check {
            let lines = vnetem_live::check()?;
            crate::write_out(&(lines.join("\n") + "\n"))?;
            return Ok(0);
        }
        if asked.demo {
            return crate::demo::demo();
        }
        let scenario = load::scenario(asked.file.as_deref())?;
        let printing = match (&asked.capture.pcap, &asked.inside, common.output) {
            (Some(path), _, _) if path == Path::new("-") => Printing::Aside,
            (_, Some(_), _) => Printing::Aside,
            (_, _, Output::Json) => Printing::Json,
            (_, _, Output::Text) => Printing::Text,
        };
        let capture = asked.capture.pcap.as_deref();
        if let Some(path) = capture {
            load::not_read_too(
                "--pcap",
                path,
                &[asked.file.as_deref(), asked.list.tags.as_deref()],
            )?;
        }
        let inside = asked.inside.clone().map(|host| (host, asked.command.clone()));
        // A path without a folder has an empty one.
        let folder = asked.file.as_deref().and_then(Path::parent);
        let folder = folder.filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = folder.to_owned();
        let status = vnetem_live::up(Options {
            name: asked.name.clone(),
            scenario,
            folder,
            tags: load::tags(&asked.list)?,
            offload: !asked.no_offload,
            silent: asked.silent,
            printing,
            capture: capture.map(create).transpose()?,
            attach: asked.attach.clone(),
            until_stdin_ends: asked.until_stdin_ends,
            inside,
        })?;
        Ok(status)
    }

    fn create(path: &Path) -> Result<Box<dyn Write + Send>, Failure> {
        if path == Path::new("-") {
            return Ok(Box::new(std::io::stdout()));
        }
        let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Box::new(file))
    }

    /// Runs a command in a host.
    pub(crate) fn exec(asked: &Exec) -> Result<u8, Failure> {
        Ok(vnetem_live::exec(&asked.name, &asked.host, asked.as_me, &asked.command)?)
    }

    /// Edits a network, or asks it.
    pub(crate) fn ctl(common: &Common, asked: &Ctl) -> Result<Answer, Failure> {
        let answer = vnetem_live::ask(&asked.name, &asked.words.join(" "))?;
        if !answer.good {
            return Err(answer.lines.join("\n").into());
        }
        let text = match common.output {
            Output::Text => answer.lines.iter().map(|line| format!("{line}\n")).collect(),
            Output::Json => format!("{}\n", answer.to_json()),
        };
        Ok(Answer { text, notes: Vec::new(), good: true })
    }
}

pub(crate) use system::{ctl, exec, keep, live};

//! `vnetem live --demo`: an endpoint is switched on under two real programs.

use crate::Failure;

#[cfg(not(target_os = "linux"))]
pub(crate) fn demo() -> Result<u8, Failure> {
    Err(vnetem_live::ELSEWHERE.into())
}

#[cfg(target_os = "linux")]
pub(crate) use story::demo;

#[cfg(target_os = "linux")]
mod story {
    use std::io::Write;
    use std::process::{Child, Command, Stdio};
    use std::thread::sleep;
    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

    use serde_json::Value;
    use vnetem_live::Cloud;

    use super::Failure;
    use crate::programs::VERB;

    /// Two networks with equal addresses, and one storage account.
    const NETWORK: &str = "\
vnet      net-a 10.0.0.0/16
vnet      net-b 10.0.0.0/16
subnet    app  10.0.0.0/24 in net-a  nat 20.31.0.10
subnet    app  10.0.0.0/24 in net-b  nat 20.31.0.20
service   Microsoft.Storage
resource  stdata 20.60.26.10 of Microsoft.Storage
host      vm-a 10.0.0.4 in net-a/app
host      vm-b 10.0.0.4 in net-b/app
serve     stdata by \"SERVER\"
";
    const ACCOUNT: &str = "stdata.blob.core.windows.net";
    const DOWNLOAD: &str = "/backup?bytes=400000000&rate=2000000";
    const EDIT: &str = "enable Microsoft.Storage on net-a/app";

    /// Tells the story, and what it needs where it is not allowed.
    pub(crate) fn demo() -> Result<u8, Failure> {
        let mut out = std::io::stdout();
        let mut show = move |line: String| writeln!(out, "{line}");
        let began = Instant::now();
        let server = format!("{} {VERB} serve 80", std::env::current_exe()?.display());
        let cloud = Cloud::of(&NETWORK.replace("SERVER", &server))?;
        show(format!("up after {:.0?}: vm-a, vm-b, and a real server as stdata", began.elapsed()))?;
        let (a, b) = (patient(&cloud, "vm-a")?, patient(&cloud, "vm-b")?);
        show(format!("vm-a and vm-b are both 10.0.0.4. The server sees {a} and {b}."))?;
        let downloads = [start(&cloud, "vm-a")?, start(&cloud, "vm-b")?];
        sleep(Duration::from_millis(700));
        show(format!("both download from stdata; now: {EDIT}"))?;
        let edited = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        for line in cloud.ctl(EDIT)?.lines {
            show(format!("  {line}"))?;
        }
        let [mut of_a, mut of_b] = downloads;
        let end = last_line(&mut of_a)?;
        show(format!("  vm-a: {}", ended(&end, edited)))?;
        sleep(Duration::from_millis(300));
        let of_server = cloud.said().into_iter().rev().filter_map(|line| {
            let line: Value = serde_json::from_str(&line).ok()?;
            (line.get("who")? == "server" && line.get("end")? == "reset").then_some(line)
        });
        for line in of_server.take(1) {
            show(format!("  server: {}", ended(&line, edited)))?;
        }
        let still = of_b.try_wait()?.is_none();
        let outlook = if still { "goes on" } else { "has ended, which is a fault" };
        show(format!("  vm-b: its download {outlook}"))?;
        of_b.kill()?;
        of_b.wait()?;
        let (a, b) = (patient(&cloud, "vm-a")?, patient(&cloud, "vm-b")?);
        show(format!("Now the server sees vm-a as {a}, and vm-b as {b}."))?;
        show(format!(
            "that took {:.1?}; `vnetem live FILE.scn` does it with yours",
            began.elapsed()
        ))?;
        Ok(if still { 0 } else { crate::DIFFERENT })
    }

    fn program(cloud: &Cloud, host: &str, path: &str) -> Result<Command, Failure> {
        let own = std::env::current_exe()?;
        let mut command = cloud.command(host, &own.display().to_string());
        command.args([VERB, "get", ACCOUNT, path]);
        Ok(command)
    }

    /// What the server sees of a host, once it listens.
    fn patient(cloud: &Cloud, host: &str) -> Result<String, Failure> {
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            let output = program(cloud, host, "/whoami")?.output()?;
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if output.status.success() {
                return Ok(text.strip_prefix("200 ").unwrap_or(&text).to_owned());
            }
            if Instant::now() > until {
                return Err(String::from_utf8_lossy(&output.stderr).trim().into());
            }
            sleep(Duration::from_millis(10));
        }
    }

    fn start(cloud: &Cloud, host: &str) -> Result<Child, Failure> {
        let mut command = program(cloud, host, DOWNLOAD)?;
        Ok(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?)
    }

    fn last_line(child: &mut Child) -> Result<Value, Failure> {
        let mut text = String::new();
        if let Some(mut out) = child.stdout.take() {
            std::io::Read::read_to_string(&mut out, &mut text)?;
        }
        child.wait()?;
        Ok(serde_json::from_str(text.trim())?)
    }

    fn ended(line: &Value, edited: f64) -> String {
        let at = line.get("at").and_then(Value::as_f64).unwrap_or_default();
        let end = line.get("end").and_then(Value::as_str).unwrap_or("?");
        let bytes = line.get("bytes").and_then(Value::as_u64).unwrap_or_default();
        format!("{end} after {bytes} bytes, {:.1} ms after the edit", (at - edited) * 1000.0)
    }
}

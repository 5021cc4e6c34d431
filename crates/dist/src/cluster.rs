//! Starts the workers of this process and connects it with the others.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use timely::CommunicationConfig;
use timely::communication::Hooks;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};
use timely::worker::Worker;

use crate::DistError;

/// How long a process waits for the others at the start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two attempts to reach a process.
const PAUSE: Duration = Duration::from_millis(20);

/// The exit status of a process whose worker failed, or that lost another process.
const FAILED: i32 = 3;

/// The workers of a run, on this machine and others.
///
/// ```
/// let cluster = vnetem_dist::Cluster::from_args(["-w", "2"].map(String::from))?;
/// assert_eq!((cluster.process(), cluster.workers()), (0, 2));
/// # Ok::<(), vnetem_dist::DistError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cluster {
    config: timely::Config,
}

impl Cluster {
    /// Reads timely's own arguments: `-w` workers of a process, `-n` processes, `-p` which of them
    /// this is, `-h` a file with a `host:port` for each.
    ///
    /// # Errors
    ///
    /// An argument is not known, or the file of hosts cannot be used.
    pub fn from_args(args: impl IntoIterator<Item = String>) -> Result<Self, DistError> {
        let args: Vec<String> = args.into_iter().collect();
        let read = timely::Config::from_args(args.iter().cloned());
        let config =
            read.map_err(|why| DistError::new(format!("after --, `{}`: {why}", args.join(" "))))?;
        if let CommunicationConfig::Cluster { process, addresses, .. } = &config.communication
            && *process >= addresses.len()
        {
            let count = addresses.len();
            return Err(DistError::new(format!("-p {process}: processes are 0 to {}", count - 1)));
        }
        Ok(Self { config })
    }

    /// Returns which process this is, from 0.
    #[must_use]
    pub fn process(&self) -> usize {
        match self.config.communication {
            CommunicationConfig::Cluster { process, .. } => process,
            _ => 0,
        }
    }

    /// Returns the number of workers of all processes.
    #[must_use]
    pub fn workers(&self) -> usize {
        match &self.config.communication {
            CommunicationConfig::Thread => 1,
            CommunicationConfig::Process(threads) | CommunicationConfig::ProcessBinary(threads) => {
                *threads
            }
            CommunicationConfig::Cluster { threads, addresses, .. } => threads * addresses.len(),
        }
    }

    /// Runs the same work in every worker of this process.
    ///
    /// A worker that fails ends this process, and so does the loss of another one. `task` names
    /// the command line, which must be the same everywhere.
    pub(crate) fn run<T: Send + 'static>(
        self,
        task: u64,
        work: impl Fn(&mut Worker) -> Result<T, DistError> + Send + Sync + 'static,
    ) -> Result<Vec<T>, DistError> {
        let wrong = |why: String| DistError::new(why);
        let (builders, guard) = match self.config.communication {
            CommunicationConfig::Cluster { threads, process, addresses, .. } => {
                let sockets = connect(&addresses, process, task)?;
                let hooks = Hooks::default();
                let workers = ProcessBuilder::new_typed_vector(threads, hooks.refill.clone(), None);
                let made =
                    initialize_networking_from_sockets(workers, sockets, process, threads, hooks);
                let (builders, guard) = made.map_err(|error| wrong(error.to_string()))?;
                let builders = builders.into_iter().map(AllocatorBuilder::Tcp).collect();
                (builders, Box::new(guard) as Box<dyn core::any::Any + Send>)
            }
            local => local.try_build().map_err(wrong)?,
        };
        end_on_panic();
        let work = move |worker: &mut Worker| {
            work(worker).unwrap_or_else(|error| {
                // The other workers wait for this one, so that nothing less ends the run.
                eprintln!("vnetem-dist: {error}");
                std::process::exit(FAILED)
            })
        };
        let guards = timely::execute::execute_from(builders, guard, self.config.worker, work)
            .map_err(wrong)?;
        guards.join().into_iter().map(|result| result.map_err(wrong)).collect()
    }
}

/// Ends the process when any of its threads panics, which timely's do when a connection breaks.
fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        match text.starts_with("timely communication error") {
            true => eprintln!("vnetem-dist: another process ended early ({text})"),
            false => eprintln!("vnetem-dist: {panic}"),
        }
        std::process::exit(FAILED)
    }));
}

/// Connects every pair of processes. The one of the higher number calls.
fn connect(
    addresses: &[String],
    process: usize,
    task: u64,
) -> Result<Vec<Option<TcpStream>>, DistError> {
    let deadline = Instant::now() + PATIENCE;
    let Some(own) = addresses.get(process) else {
        return Err(DistError::new(format!("-p {process}: there is no such process")));
    };
    let listener = TcpListener::bind(own.as_str())
        .map_err(|error| DistError::new(format!("process {process}, {own}: {error}")))?;
    let mut sockets: Vec<Option<TcpStream>> = addresses.iter().map(|_| None).collect();
    for (number, address) in addresses.iter().enumerate().take(process) {
        let wrong = |why: &dyn core::fmt::Display| {
            DistError::new(format!("process {number}, {address}: {why}"))
        };
        let mut socket = call(address, deadline).map_err(|error| wrong(&error))?;
        let mut hello = [0; 16];
        hello[..8].copy_from_slice(&u64::try_from(process).unwrap_or(u64::MAX).to_be_bytes());
        hello[8..].copy_from_slice(&task.to_be_bytes());
        socket.write_all(&hello).map_err(|error| wrong(&error))?;
        set(&mut sockets, number, socket).ok_or_else(|| wrong(&"there is no such process"))?;
    }
    listener.set_nonblocking(true).map_err(|error| DistError::new(error.to_string()))?;
    while sockets.iter().enumerate().any(|(number, held)| number != process && held.is_none()) {
        match listener.accept() {
            Ok((socket, from)) => {
                let wrong =
                    |why: &dyn core::fmt::Display| DistError::new(format!("from {from}: {why}"));
                let (number, theirs, socket) = greet(socket).map_err(|error| wrong(&error))?;
                if theirs != task {
                    return Err(wrong(&format!(
                        "process {number} was started with other arguments"
                    )));
                }
                set(&mut sockets, number, socket)
                    .ok_or_else(|| wrong(&"calls itself by a number that is taken or too high"))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if Instant::now() > deadline {
                    let missing = sockets.iter().filter(|held| held.is_none()).count() - 1;
                    let waited = PATIENCE.as_secs();
                    return Err(DistError::new(format!(
                        "{missing} other processes did not call within {waited} s"
                    )));
                }
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(DistError::new(format!("{own}: {error}"))),
        }
    }
    Ok(sockets)
}

/// Puts a socket into its place; none if the place is not there or taken.
fn set(sockets: &mut [Option<TcpStream>], number: usize, socket: TcpStream) -> Option<()> {
    let place = sockets.get_mut(number).filter(|place| place.is_none())?;
    *place = Some(socket);
    Some(())
}

fn call(address: &str, deadline: Instant) -> std::io::Result<TcpStream> {
    loop {
        match TcpStream::connect(address) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// Reads who calls, and for which run.
fn greet(mut socket: TcpStream) -> std::io::Result<(usize, u64, TcpStream)> {
    socket.set_nonblocking(false)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let (mut number, mut task) = ([0; 8], [0; 8]);
    socket.read_exact(&mut number)?;
    socket.read_exact(&mut task)?;
    socket.set_read_timeout(None)?;
    let number = usize::try_from(u64::from_be_bytes(number)).unwrap_or(usize::MAX);
    Ok((number, u64::from_be_bytes(task), socket))
}

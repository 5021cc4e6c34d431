//! A bar on standard error for work that takes longer than a second.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::io::Read;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use vnetem_whatif::Progress;

/// Work that is done sooner shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bar that comes when the work has lasted a second. Where standard error is no terminal it never
/// comes.
pub(crate) struct Bar {
    begun: Instant,
    target: Box<dyn Fn() -> ProgressDrawTarget>,
    shown: RefCell<Option<ProgressBar>>,
    what: Cell<&'static str>,
    bytes: Cell<bool>,
    done: Cell<u64>,
    all: Cell<u64>,
}

impl Bar {
    pub(crate) fn new() -> Self {
        Self::on(Box::new(ProgressDrawTarget::stderr))
    }

    fn on(target: Box<dyn Fn() -> ProgressDrawTarget>) -> Self {
        Self {
            begun: Instant::now(),
            target,
            shown: RefCell::new(None),
            what: Cell::new(""),
            bytes: Cell::new(false),
            done: Cell::new(0),
            all: Cell::new(0),
        }
    }

    /// Begins to count bytes of files.
    pub(crate) fn begin_bytes(&self, what: &'static str, all: u64) {
        self.what.set(what);
        self.bytes.set(true);
        self.done.set(0);
        self.all.set(all);
    }

    /// A reader whose bytes are counted.
    pub(crate) fn through<R: Read>(&self, source: R) -> Counted<'_, R> {
        Counted { source, bar: self }
    }

    /// Shows how far the comparison is.
    pub(crate) fn show(&self, progress: Progress) {
        self.what.set(progress.what);
        self.bytes.set(false);
        self.done.set(progress.done);
        self.all.set(progress.all);
        self.draw();
    }

    fn draw(&self) {
        if self.begun.elapsed() < PATIENCE {
            return;
        }
        let mut shown = self.shown.borrow_mut();
        let bar = shown.get_or_insert_with(|| {
            ProgressBar::with_draw_target(Some(self.all.get()), (self.target)())
        });
        let unit =
            if self.bytes.get() { "{bytes}/{total_bytes}" } else { "{human_pos}/{human_len}" };
        let template = format!("{{msg}} [{{bar:30}}] {unit} {{eta}}");
        if bar.message() != self.what.get() {
            // Colours are left to terminals that are asked for none (NO_COLOR): the bar has none.
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_message(self.what.get());
        }
        bar.set_length(self.all.get().max(self.done.get()));
        bar.set_position(self.done.get());
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        if let Some(bar) = self.shown.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}

/// A reader whose bytes a bar counts.
pub(crate) struct Counted<'a, R> {
    source: R,
    bar: &'a Bar,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.bar.done.set(self.bar.done.get() + u64::try_from(read).unwrap_or_default());
        self.bar.draw();
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    fn bar() -> Bar {
        Bar::on(Box::new(ProgressDrawTarget::hidden))
    }

    #[test]
    fn quick_work_shows_no_bar() {
        let bar = bar();
        bar.show(Progress::new("flows", 1, 2));
        assert!(bar.shown.borrow().is_none());
    }

    #[test]
    fn bar_comes_after_a_second() {
        let mut bar = bar();
        bar.begun = Instant::now().checked_sub(PATIENCE).unwrap();
        bar.show(Progress::new("flows", 1, 2));
        let shown = bar.shown.borrow().clone().unwrap();
        assert_eq!((shown.position(), shown.length()), (1, Some(2)));
        let mut source = bar.through(&b"abc"[..]);
        bar.begin_bytes("reading", 3);
        source.read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(shown.position(), 3);
        bar.end();
        assert!(bar.shown.borrow().is_none());
    }
}

//! What is wrong with a network that still passes bytes on: it is narrow, or it loses some of them.

use std::{io, sync::Mutex, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};

/// What is sent at once over a narrow network, in bytes.
const PIECE: usize = 1_400;
/// Something is lost after so many bytes at most.
const BETWEEN_LOSSES: usize = 2_000;
/// What is lost is there so many milliseconds later at most, or the connection is given up.
const LONGEST_STALL: u64 = 1_500;

/// Of all connections of a network, in both directions.
#[derive(Default)]
pub struct Trouble(Mutex<State>);

#[derive(Default)]
struct State {
    width: Option<Width>,
    lossy: Option<Lossy>,
}

struct Width {
    bytes_per_second: u32,
    /// What was sent before has arrived by then.
    free_at: Instant,
}

struct Lossy {
    dice: fastrand::Rng,
    /// What is still to be lost, the next one last.
    losses: Vec<Fate>,
    /// Bytes until then.
    left: usize,
}

/// What befalls a piece.
enum Fate {
    Arrives(Instant),
    Stalls(Duration),
    Breaks,
}

impl Trouble {
    /// No more than this passes.
    pub fn narrow_to(&self, bytes_per_second: u32) {
        let width = Width { bytes_per_second, free_at: Instant::now() };
        self.0.lock().unwrap().width = Some(width);
    }

    /// So many times bytes come late, and all behind them, and so many times the connection is
    /// given up: in the order that these dice say.
    pub fn lose(&self, mut dice: fastrand::Rng, late: usize, given_up: usize) {
        let stall = |dice: &mut fastrand::Rng| {
            Fate::Stalls(Duration::from_millis(dice.u64(..LONGEST_STALL)))
        };
        let mut losses: Vec<_> = (0..late).map(|_| stall(&mut dice)).collect();
        losses.extend((0..given_up).map(|_| Fate::Breaks));
        dice.shuffle(&mut losses);
        self.0.lock().unwrap().lossy = Some(Lossy { dice, losses, left: 0 });
    }

    /// Nothing is wrong any more.
    pub fn end(&self) {
        let mut state = self.0.lock().unwrap();
        (state.width, state.lossy) = (None, None);
    }

    /// Whether all has been lost that was to be.
    pub fn is_over(&self) -> bool {
        self.0.lock().unwrap().lossy.as_ref().is_none_or(|lossy| lossy.losses.is_empty())
    }

    /// Bytes in as many pieces as they are sent in.
    pub(super) fn pieces<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let is_narrow = self.0.lock().unwrap().width.is_some();
        bytes.chunks(if is_narrow { PIECE } else { usize::MAX })
    }

    /// Waits until a piece of this length arrives. Err: it never does.
    pub(super) async fn befall(&self, length: usize) -> io::Result<()> {
        let fate = self.0.lock().unwrap().fate(length);
        match fate {
            None => {}
            Some(Fate::Arrives(at)) => sleep_until(at).await,
            Some(Fate::Stalls(time)) => sleep(time).await,
            Some(Fate::Breaks) => return Err(io::ErrorKind::ConnectionReset.into()),
        }
        Ok(())
    }
}

impl State {
    fn fate(&mut self, length: usize) -> Option<Fate> {
        if let Some(Width { bytes_per_second, free_at }) = &mut self.width {
            let takes = Duration::from_secs(length as u64) / *bytes_per_second;
            *free_at = (*free_at).max(Instant::now()) + takes;
            return Some(Fate::Arrives(*free_at));
        }
        let Lossy { dice, losses, left } = self.lossy.as_mut()?;
        if length < *left {
            *left -= length;
            return None;
        }
        *left = dice.usize(..BETWEEN_LOSSES);
        losses.pop()
    }
}
